"""From a checkpoint to deployable graphs, each proven equal to the network it was made from."""
