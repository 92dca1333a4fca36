// Texts that are shown with less than 4.5:1 against what is behind them (WCAG 2.2, 1.4.3).
const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
const luminance = (colour) => {
  const [red, green, blue] = channels(colour).slice(0, 3).map((channel) => {
    const part = channel / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if ((channels(colour)[3] ?? 1) > 0) {
      return colour;
    }
  }
  return "rgb(255, 255, 255)";
};
const faint = [];
for (const element of document.body.querySelectorAll("*")) {
  const words = [...element.childNodes].some((one) => one.nodeType === Node.TEXT_NODE && one.textContent.trim());
  if (!words || !element.checkVisibility() || element.closest("svg")) {
    continue;
  }
  const [text, ground] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
  const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  if (ratio < 4.5) {
    faint.push(`${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
}
return faint;
