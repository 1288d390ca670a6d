// A file of payments is read here and put where it could be pasted: without a script that is enough.

// Spreadsheets in Russian save tables in the one or the other.
function text(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1251").decode(bytes);
  }
}

for (const form of document.querySelectorAll("form[data-upload]")) {
  const row = form.querySelector("[data-file]");
  row.hidden = false;
  row.querySelector("input").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) form.querySelector("textarea").value = text(await file.arrayBuffer());
  });
}
