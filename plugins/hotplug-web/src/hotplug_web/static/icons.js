// Small drawings on a field of 16 by 16, in strokes of the colour of the text beside them.
const SVG = "http://www.w3.org/2000/svg";
const RING = "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2Z";
const STOP = "M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4Z";
const DRAWINGS = {
  ok: `${RING}M5.2 8.2l2 2 3.6-4.3`,
  idle: RING,
  off: `${RING}M4 12l8-8`,
  busy: "M13.8 8A5.8 5.8 0 1 1 8 2.2",
  warn: "M8 2.2 14.4 13.4H1.6ZM8 6.4v3.4M8 11.6v.2",
  bad: `${STOP}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4`,
  halt: `${STOP}M6.3 5.6v4.8M9.7 5.6v4.8`,
  reload: "M13.6 2.6v3.6H10M13.3 6.2A5.7 5.7 0 1 0 13.6 9",
  disable: "M8 1.8v6M4.7 4a5.5 5.5 0 1 0 6.6 0",
  enable: "M5 3v10l7.8-5Z",
  resume: "M5 3v10l7.8-5Z",
  pause: "M5.5 3.4v9.2M10.5 3.4v9.2",
  close: "M4 4l8 8M12 4l-8 8",
  search: "M7 2.6a4.4 4.4 0 1 0 0 8.8 4.4 4.4 0 0 0 0-8.8ZM10.2 10.2l3.4 3.4",
  out: "M6 2.6H3v10.8h3M10 5l3 3-3 3M13 8H6.6",
  light:
    "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6ZM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4" +
    "M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
  dark: "M13.4 9.6A5.8 5.8 0 1 1 6.4 2.6a4.6 4.6 0 0 0 7 7Z",
  auto: "M2 3h12v8H2ZM5.5 13.6h5",
};

export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS(SVG, "path"));
  redraw(drawing, name);
  return drawing;
}

export function redraw(drawing, name) {
  if (drawing.dataset.drawing === name) return;
  drawing.dataset.drawing = name;
  drawing.firstChild.setAttribute("d", DRAWINGS[name] ?? DRAWINGS.idle);
}

/** Put the drawings where markup asks for them. */
export function decorate(root) {
  for (const place of root.querySelectorAll("[data-icon]")) place.replaceWith(icon(place.dataset.icon));
}

/** A line through *values*, the latest to the right; *low* and *high* are where the picture ends. */
export function sparkline(svg, values, low, high) {
  const width = 100, height = 24, pad = 1.5;
  const span = high - low || 1;
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const points = values.map((value, index) => {
    const up = high === low ? 0.5 : (Math.min(Math.max(value, low), high) - low) / span;
    return `${(index * step).toFixed(1)},${(height - pad - up * (height - 2 * pad)).toFixed(1)}`;
  });
  const line = points.length > 1 ? `M${points.join("L")}` : "";
  if (svg.dataset.line === line) return;
  svg.dataset.line = line;
  const [area, stroke] = svg.children;
  stroke.setAttribute("d", line);
  area.setAttribute("d", line && `${line}L${width},${height}L0,${height}Z`);
}

export function newSparkline() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "sparkline");
  svg.setAttribute("viewBox", "0 0 100 24");
  svg.setAttribute("preserveAspectRatio", "none");
  for (const part of ["area", "stroke"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", part);
    svg.append(path);
  }
  return svg;
}
