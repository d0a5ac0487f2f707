"""What is asked of a page from inside it."""

NAMELESS = """
[...document.querySelectorAll('button, a, input, [role=img]')].filter((one) => {
  const text = one.getAttribute('aria-label') || one.textContent.trim();
  return !(text || one.labels?.[0]?.textContent);
}).map((one) => one.outerHTML)
"""

# WCAG 2.1, 1.4.3: text stands out 4.5 to 1 from what is behind it (large or disabled text aside).
POOR_CONTRAST = """
(() => {
  const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const one of document.querySelectorAll('main *, header *')) {
    const hasText = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !one.checkVisibility()) continue;
    const text = light(parse(getComputedStyle(one).color));
    const [a, b] = [text, light(behind(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${one.textContent.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
})()
"""
