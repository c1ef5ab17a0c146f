// What is not free now can only be chosen by whoever waits for it. Without this, the hub says so after the form is sent.

const wait = document.getElementById("wait");
const news = document.getElementById("wait-news");

/** The most of `select` that is free now; none when nothing is. */
function free(select) {
  return [...select.options].filter((option) => !option.disabled).at(-1);
}

function offerWhatIsFree() {
  const replaced = [];
  for (const option of document.querySelectorAll("option[data-busy]")) {
    option.disabled = !wait.checked;
  }
  for (const select of document.querySelectorAll("#cpu, #memory, #gpu")) {
    const chosen = select.selectedOptions[0];
    // A choice that is disabled would not be sent at all.
    if (chosen?.disabled && free(select)) {
      free(select).selected = true;
      replaced.push(`${chosen.label}: ${select.selectedOptions[0].label} chosen instead.`);
    } else if (chosen?.disabled) {
      wait.checked = true;
      offerWhatIsFree();
      news.textContent = "Nothing is free now, so your start waits.";
      return;
    }
  }
  news.textContent = replaced.join(" ");
}

if (wait) {
  wait.addEventListener("change", offerWhatIsFree);
  offerWhatIsFree();
}
