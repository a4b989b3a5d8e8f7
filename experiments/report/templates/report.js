"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("live");
  const tip = document.getElementById("tip");
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.style.colorScheme ? root.style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.style.colorScheme = dark ? "light" : "dark";
  });

  // Tables: a click on a column sorts, words in the field filter.
  const numberOf = (text) => {
    const found = /^[<+]?(-?[\d,]*\.?\d+(?:e-?\d+)?)/.exec(text.trim());
    return found ? Number(found[1].replaceAll(",", "")) : null;
  };
  const compare = (one, other) => {
    const [a, b] = [numberOf(one), numberOf(other)];
    return a !== null && b !== null ? a - b : one.localeCompare(other, undefined, { numeric: true });
  };
  const empty = (text) => text === "-" || text === "" || text.startsWith("diverged");
  for (const table of document.querySelectorAll("table.sorted")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const before = head.getAttribute("aria-sort");
      const ascending = before === null ? !numeric : before === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [row.cells[column].textContent, row]);
      // What has no value stays at the end, whichever way.
      rows.sort(([one], [other]) => empty(one) - empty(other) || (ascending ? 1 : -1) * compare(one, other));
      body.append(...rows.map(([, row]) => row));
    }));
    const filter = table.closest(".table").querySelector(".filter");
    filter?.querySelector("input").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        left += !row.hidden;
      }
      filter.querySelector(".count").textContent = words.length ? `${left} of ${body.rows.length} rows` : "";
    });
  }
  document.addEventListener("click", async (event) => {
    if (!event.target.matches(".copy")) return;
    const code = event.target.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      event.target.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      event.target.textContent = "selected";
    }
  });

  // What is shown beside the pointer.
  const place = (x, y) => {
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 6))}px`;
    tip.style.top = `${y + 16 + height > innerHeight ? Math.max(4, y - height - 12) : y + 16}px`;
  };
  const hide = () => { tip.hidden = true; };
  for (const square of document.querySelectorAll("[data-tip]")) {
    const show = (x, y) => { tip.replaceChildren(square.dataset.tip); place(x, y); };
    square.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
    square.addEventListener("focus", () => { const box = square.getBoundingClientRect(); show(box.left, box.bottom - 12); });
    for (const name of ["pointerleave", "blur"]) square.addEventListener(name, hide);
  }

  // Curves: the nearest evaluation point, all means there, and the seeds of the nearest line.
  const text = (value) => value === null ? "-" : Math.abs(value) >= 100 ? value.toPrecision(5) : value.toFixed(4);
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  for (const panel of document.querySelectorAll(".panel")) {
    const drawing = panel.querySelector("svg");
    const data = JSON.parse(panel.querySelector("script").textContent);
    const [left, right, top, bottom] = data.box;
    const x = (epoch) => left + (right - left) * epoch / Math.max(data.last, 1);
    const y = (value) => bottom - (bottom - top) * (value - data.lower) / (data.upper - data.lower);
    const over = drawing.querySelector(".seeds");
    let point = data.epochs.length - 1;
    const clear = () => {
      hide();
      over.replaceChildren();
      for (const group of drawing.querySelectorAll("g[data-name]")) group.classList.remove("dim");
    };
    const chart = panel.closest(".chart");
    const shown = (line) => chart.dataset.only === undefined || line.name === chart.dataset.only;
    const show = (place_x, place_y, height) => {
      const lines = data.lines.filter((line) => line.mean[point] !== null && shown(line));
      if (!lines.length) return clear();
      const near = lines.reduce((one, other) =>
        Math.abs(y(other.mean[point]) - height) < Math.abs(y(one.mean[point]) - height) ? other : one);
      over.replaceChildren(svg("path", { class: "cursor", d: `M${x(data.epochs[point])} ${top}V${bottom}` }));
      for (const [, values] of near.seeds) {
        const points = values.map((value, index) => value === null ? null : `${x(data.epochs[index]).toFixed(1)} ${y(value).toFixed(1)}`);
        over.append(svg("path", { class: `line ${near.style}`, d: `M${points.filter(Boolean).join("L")}` }));
      }
      for (const group of drawing.querySelectorAll("g[data-name]")) group.classList.toggle("dim", group.dataset.name !== near.name);
      const table = make("table");
      for (const line of [...lines].sort((one, other) => other.mean[point] - one.mean[point]).slice(0, 12)) {
        const row = make("tr", undefined, line === near ? "near" : "");
        row.append(make("td", line.name), make("td", text(line.mean[point])));
        table.append(row);
      }
      const seeds = near.seeds.map(([seed, values]) => `${seed}: ${text(values[point])}`).join(", ");
      tip.replaceChildren(make("b", `epoch ${data.epochs[point]}`), table, make("p", `${near.name}, seeds ${seeds}`));
      place(place_x, place_y);
    };
    drawing.addEventListener("pointermove", (event) => {
      const box = drawing.getBoundingClientRect();
      const zoom = drawing.viewBox.baseVal.width / box.width;
      const at = (event.clientX - box.left) * zoom;
      point = data.epochs.reduce((best, epoch, index) =>
        Math.abs(x(epoch) - at) < Math.abs(x(data.epochs[best]) - at) ? index : best, 0);
      show(event.clientX, event.clientY, (event.clientY - box.top) * zoom);
    });
    drawing.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return clear();
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      point = Math.max(0, Math.min(point + step, data.epochs.length - 1));
      const box = drawing.getBoundingClientRect();
      show(box.left + x(data.epochs[point]) * box.width / drawing.viewBox.baseVal.width, box.top + box.height / 2, top);
    });
    for (const name of ["pointerleave", "blur"]) drawing.addEventListener(name, clear);
  }
  for (const chart of document.querySelectorAll(".chart")) {
    const buttons = [...chart.querySelectorAll(".legend button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        const only = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.name;
        if (only === null) delete chart.dataset.only; else chart.dataset.only = only;
        for (const other of buttons) other.setAttribute("aria-pressed", other.dataset.name === only);
        for (const group of chart.querySelectorAll("g[data-name]")) {
          group.style.display = only === null || group.dataset.name === only ? "" : "none";
        }
      });
    }
  }
})();
