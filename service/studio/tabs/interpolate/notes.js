/** What the address cannot say, in words. */

import { counted } from "../../core/text.js";

/** Of keyframes that an address names and nothing here makes. */
export function unreadNote(unread) {
  if (!unread.length) return "";
  return `${counted(unread.length, "keyframe")} of this address cannot be read here: ${unread.join(", ")}`;
}

/** Of keyframes that are too long for an address; see `writeAddress`. */
export function tooLongNote({ elsewhere, lost }) {
  const why = "Styles are too long for an address:";
  if (lost.length) return `${why} ${placesOf(lost)} is not in it. Keep it as a favourite.`;
  if (!elsewhere.length) return "";
  return `${why} ${placesOf(elsewhere)} will be there in this browser only, as long as it is a favourite.`;
}

/** Of those that stay behind when another model is chosen. */
export function leftBehindNote(count) {
  return count ? `${counted(count, "keyframe")} of styles stayed behind: those are of the other model.` : "";
}

function placesOf(places) {
  const sorted = places.map((place) => place + 1).sort((one, other) => one - other);
  return `keyframe ${sorted.join(", ")}`;
}
