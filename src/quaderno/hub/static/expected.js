// Says how long a start from the image that is chosen may take, as the hub has measured it.
const image = document.getElementById("image");
const expected = document.getElementById("expected");

function say() {
  expected.textContent = image.selectedOptions[0]?.dataset.expected ?? "";
}

image.addEventListener("change", say);
