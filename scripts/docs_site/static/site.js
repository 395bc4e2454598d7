// A button on each block of code that copies it, where browsers allow that: over https and on this machine.
for (const block of navigator.clipboard ? document.querySelectorAll("div.highlight") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  block.classList.add("copyable");
  block.append(button);
}

// On a phone a row of a table that does not fit is a block (site.css), in which each cell says which column it is of.
for (const table of document.querySelectorAll("table.docutils")) {
  const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent);
  const longest = Math.max(...[...table.tBodies[0].rows].map((row) => row.cells[0].textContent.length));
  if (longest < 40) table.classList.add("short");
  if (heads.length < 4 && longest < 24) continue;
  table.classList.add("wide");
  for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, at) => (cell.dataset.head = heads[at]));
}
