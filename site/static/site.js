// What the pages do when scripts may run: a theme that stays chosen, copy buttons, one language for all tabs.
// Every page is complete without it.
(function () {
  "use strict";
  var root = document.documentElement;

  function stored(key) {
    try { return localStorage.getItem(key); } catch (e) { return null; }
  }
  function store(key, value) {
    try { value ? localStorage.setItem(key, value) : localStorage.removeItem(key); } catch (e) { /* private window */ }
  }

  // Before the first paint, so that no page flashes in the other theme.
  var theme = stored("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;

  function themeButton() {
    var button = document.getElementById("theme");
    if (!button) return;
    var names = { auto: "Auto", light: "Light", dark: "Dark" };
    function show() {
      var name = names[root.dataset.theme || "auto"];
      var label = document.createElement("span"); // hidden on narrow windows
      label.textContent = "Theme: ";
      button.replaceChildren(label, name);
      button.setAttribute("aria-label", "Theme: " + name);
    }
    button.hidden = false;
    button.addEventListener("click", function () {
      var next = { auto: "light", light: "dark", dark: "auto" }[root.dataset.theme || "auto"];
      if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
      store("theme", next === "auto" ? "" : next);
      show();
    });
    show();
  }

  function copyButtons() {
    if (!navigator.clipboard) return;
    document.querySelectorAll("figure.code pre").forEach(function (pre) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", function () {
        navigator.clipboard.writeText(typed(pre)).then(function () {
          button.textContent = "Copied";
          setTimeout(function () { button.textContent = "Copy"; }, 1500);
        });
      });
      pre.parentNode.appendChild(button);
    });
  }

  // Of a recorded run only what was typed is worth copying.
  function typed(pre) {
    if (pre.dataset.lang !== "console") return pre.textContent;
    var lines = pre.textContent.split("\n").filter(function (l) { return /^(\$|>>>|\.\.\.)( |$)/.test(l); });
    return lines.length ? lines.map(function (l) { return l.replace(/^(\$|>>>|\.\.\.) ?/, ""); }).join("\n") + "\n" : pre.textContent;
  }

  function tabs() {
    function choose(name) {
      document.querySelectorAll(".tabs input[type=radio]").forEach(function (i) {
        if (i.value === name) i.checked = true;
      });
    }
    var name = stored("tab");
    if (name) choose(name);
    document.addEventListener("change", function (e) {
      if (!e.target.matches || !e.target.matches(".tabs input[type=radio]")) return;
      var set = e.target.closest(".tabs");
      var before = set.getBoundingClientRect().top;
      choose(e.target.value);
      store("tab", e.target.value);
      window.scrollBy(0, set.getBoundingClientRect().top - before);
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    themeButton();
    copyButtons();
    tabs();
  });
})();
