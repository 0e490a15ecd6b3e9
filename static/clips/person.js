// The picture follows the choice: a person who is not seen at the shown moment is shown at one of theirs.

const panel = document.getElementById("person");
const video = document.getElementById("person-video");

panel?.addEventListener("change", (event) => {
  if (event.target.name !== "number") return;
  for (const box of panel.querySelectorAll("[data-person]")) {
    box.classList.toggle("is-chosen", box.dataset.person === event.target.value);
  }
  if (video && event.target.dataset.at) video.currentTime = Number(event.target.dataset.at);
});
