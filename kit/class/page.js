
"use strict";
const head = document.querySelectorAll("thead th");
const body = document.querySelector("tbody");
head.forEach((th, column) => {
  if (!th.dataset.sort) return;
  const button = document.createElement("button");
  button.append(...th.childNodes);
  th.append(button);
  button.addEventListener("click", () => {
    const up = th.getAttribute("aria-sort") !== "ascending";
    head.forEach(other => other.removeAttribute("aria-sort"));
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.children[column].dataset.value ?? row.children[column].textContent.trim();
    const compare = th.dataset.sort === "number" ? (a, b) => a - b : (a, b) => a.localeCompare(b, undefined, { numeric: true });
    const rows = Array.from(body.rows).sort((a, b) => compare(key(a), key(b)) * (up ? 1 : -1));
    body.append(...rows);
  });
});
