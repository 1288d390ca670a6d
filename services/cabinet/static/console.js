// A file of payments is read here and put where it could be pasted: without a script that is enough.

for (const form of document.querySelectorAll("form[data-upload]")) {
  const row = form.querySelector("[data-file]");
  row.hidden = false;
  row.querySelector("input").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) form.querySelector("textarea").value = await file.text();
  });
}
