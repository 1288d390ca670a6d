// Takes the page's main part anew when something has happened. Without this file the page works
// all the same: reload it.
"use strict";

(() => {
  const root = document.querySelector("[data-live]");
  if (!root || !window.EventSource || !window.fetch) return;
  const status = document.querySelector("[data-status]");
  const OLD = "Новое сюда больше не приходит. Обновите страницу.";
  let running = false;
  let again = false;

  const say = (text) => { if (status) status.textContent = text; };

  const renew = async () => {
    if (running) { again = true; return; }
    running = true;
    try {
      const answer = await fetch(window.location.href, { headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-live]");
      if (answer.ok && fresh) replace(fresh);
      // Logged out meanwhile, or the cabinet is busy: what is shown grows old.
      else say(OLD);
    } catch {
      say("Нет связи. Обновим, когда она появится.");
    } finally {
      running = false;
      if (again) { again = false; renew(); }
    }
  };

  const keys = (part) => [...part.querySelectorAll("[data-key]")].map((each) => each.dataset.key);

  const replace = (fresh) => {
    const known = new Set(keys(root));
    const open = new Set([...root.querySelectorAll("details[open][id]")].map((each) => each.id));
    // What a family has chosen stays chosen: it is sent once for ever.
    const chosen = [...root.querySelectorAll("select[id]")].map((each) => [each.id, each.value]);
    const focused = document.activeElement?.closest?.("[id]")?.id;
    root.replaceChildren(...fresh.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, value] of chosen) {
      const select = document.getElementById(id);
      if (select) select.value = value;
    }
    if (focused) {
      const again = document.getElementById(focused);
      (again?.querySelector("summary, a") ?? again)?.focus({ preventScroll: true });
    }
    for (const each of root.querySelectorAll("[data-key]")) {
      if (!known.has(each.dataset.key)) each.classList.add("is-new");
    }
    const now = new Date().toLocaleTimeString("ru-RU", { hour: "2-digit", minute: "2-digit" });
    say(`Обновлено в ${now}`);
  };

  const stream = new EventSource(root.dataset.live);
  stream.addEventListener("error", () => {
    // It connects again by itself, unless it was refused.
    if (stream.readyState === EventSource.CLOSED) say(OLD);
  });
  stream.addEventListener("changed", renew);
  window.addEventListener("pagehide", () => stream.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
})();
