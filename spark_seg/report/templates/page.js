"use strict";
(function () {
  var PAPER = 690;
  var plots = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  var opened = [];

  plots.forEach(function (plot) {
    var spec = JSON.parse(document.getElementById(plot.id.replace("plot-", "spec-")).textContent);
    spec.layout.height = Number(plot.dataset.height);
    Plotly.newPlot(plot, spec.data, spec.layout, {
      displaylogo: false,
      displayModeBar: false,
      responsive: true,
      showTips: false,
      plotlyServerURL: ""
    });
  });

  // A name in the key brings its trace forward; again, and all are equal.
  Array.prototype.forEach.call(document.querySelectorAll(".key[data-figure]"), function (key) {
    var plot = document.getElementById("plot-" + key.dataset.figure);
    if (!plot) return;
    var entries = Array.prototype.slice.call(key.children);
    var buttons = entries.map(function (entry, i) {
      var button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      while (entry.firstChild) button.appendChild(entry.firstChild);
      entry.appendChild(button);
      button.addEventListener("click", function () {
        var on = button.getAttribute("aria-pressed") !== "true";
        buttons.forEach(function (b) { b.setAttribute("aria-pressed", "false"); });
        button.setAttribute("aria-pressed", String(on));
        Plotly.restyle(plot, { opacity: buttons.map(function (_, n) { return !on || n === i ? 1 : 0.1; }) });
      });
      return button;
    });
  });

  // Paper has another width than the window, and nobody can open anything on it.
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.slice.call(document.querySelectorAll("details.printed:not([open])"));
    opened.forEach(function (d) { d.open = true; });
    plots.forEach(function (plot) {
      var small = plot.closest(".multiples");
      Plotly.relayout(plot, { width: small ? PAPER / 3 - 12 : PAPER, autosize: false });
    });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (d) { d.open = false; });
    plots.forEach(function (plot) {
      Plotly.relayout(plot, { width: null, autosize: true });
    });
  });
})();
