/** A cloud with a sign for each level; the shape tells them apart where colour does not. */

const SVG = 'http://www.w3.org/2000/svg';
const CLOUD = 'M4.5 13A3.5 3.5 0 0 1 4 6.04a4.5 4.5 0 0 1 8.74.98A3 3 0 0 1 12.5 13Z';
const SIGNS = {
  ok: 'M5.7 9.2 7.4 10.9 10.6 7.6',
  busy: 'M8 11.4V7M6.2 8.7 8 6.9 9.8 8.7',
  warning: 'M8 6.4V9.4M8 11V11.3',
  error: 'M6.3 7.3 9.7 10.7M9.7 7.3 6.3 10.7'
};

/** The icon of a level, for the eye alone: the words beside it say the same. */
export function icon(level) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  for (const shape of [CLOUD, SIGNS[level] ?? SIGNS.warning]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', shape);
    svg.append(path);
  }
  return svg;
}
