// What the overview shows, as a query string: the same one in its address and to `GET /fleet`.

import { STATES } from "./states.js";

export const SORTS = { worst: "Worst first", id: "Store id", last_poll: "Last heard" };

export const NO_FILTERS = { state: [], zone: "", q: "", sort: "worst", page: 1 };

export function readFilters(search) {
  const query = new URLSearchParams(search);
  const named = (query.get("state") ?? "").split(",");
  const page = Number.parseInt(query.get("page") ?? "1", 10);
  return {
    state: STATES.filter((state) => named.includes(state)),
    zone: query.get("zone") ?? "",
    q: query.get("q") ?? "",
    sort: Object.hasOwn(SORTS, query.get("sort") ?? "") ? query.get("sort") : "worst",
    page: page >= 1 ? page : 1,
  };
}

/** Without what is the default, so that an address is as short as what it says. */
export function writeFilters({ state, zone, q, sort, page }) {
  const parts = [];
  // commas and slashes are allowed in a query, and are easier to read as they are
  const add = (name, value) =>
    parts.push(`${name}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%2F", "/")}`);
  if (state.length) add("state", state.join(","));
  if (zone) add("zone", zone);
  if (q) add("q", q);
  if (sort !== "worst") add("sort", sort);
  if (page > 1) add("page", page);
  return parts.length ? `?${parts.join("&")}` : "";
}

export const isFiltered = ({ state, zone, q }) => state.length > 0 || zone !== "" || q !== "";
