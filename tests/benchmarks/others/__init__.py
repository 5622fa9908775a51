"""The same models behind other servers, each written as its documentation would have it."""
