// Keys A and B play source and result, one from where the other is. A checkbox beside the players turns them off.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const at = event.target;
  if (at instanceof Element && at.closest("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable]")) return;
  const key = event.key.toLowerCase();
  if (key !== "a" && key !== "b") return;
  const pairs = [...document.querySelectorAll(".vz-pair")].filter((pair) => pair.offsetParent !== null);
  for (const pair of pairs) {
    const wanted = pair.querySelector(`audio[data-key="${key}"]`);
    const switched = pair.querySelector(".vz-keys-on");
    if (!wanted || (switched && !switched.checked)) continue;
    const other = [...pair.querySelectorAll("audio[data-key]")].find((audio) => audio !== wanted && !audio.paused);
    if (other) {
      other.pause();
      wanted.currentTime = Math.min(other.currentTime, wanted.duration || other.currentTime);
    }
    wanted.play();
    event.preventDefault();
    return;
  }
});
// Only one player sounds at a time.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);
// Gradio names its upload areas and the button of the playback speed otherwise than they read, so that speech control
// cannot find them by their text.
new MutationObserver(() => {
  for (const area of document.querySelectorAll("button.upload-container[aria-label]")) area.removeAttribute("aria-label");
  for (const button of document.querySelectorAll("button.playback")) {
    const name = `${button.textContent.trim()} playback speed`;
    if (button.getAttribute("aria-label") !== name) button.setAttribute("aria-label", name);
  }
}).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["aria-label"] });
