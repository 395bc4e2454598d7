import { Paces } from "../../lib/pace.ts";

/** Shared by the list and the pages of batches, so that a page knows the pace that the list has seen. */
export const paces = new Paces(500);
