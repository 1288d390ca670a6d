// Keeps what a teacher saved until the server has it: the network may go, nothing is lost, and
// nothing is sent twice with another effect, since each save carries its own token. Without this
// file the pages work all the same: as plain forms.
"use strict";

(() => {
  const QUEUE = "pfdo-journal-queue";
  const AGAIN_MS = 3000;
  const PATIENCE_MS = 15000;
  // Answers that say "not now", not "never".
  const isForNow = (code) => [401, 403, 408, 425, 429].includes(code) || code >= 500;
  const status = document.querySelector("[data-status]");
  let busy = false;
  let timer = 0;
  let touched = false;

  const say = (text, isDone = true) => {
    if (!status) return;
    status.textContent = text;
    status.classList.toggle("late", !isDone);
  };
  const queued = () => {
    try { return JSON.parse(localStorage.getItem(QUEUE)) ?? []; } catch { return []; }
  };
  // A device may be shared: what another organization saved waits for its own people.
  const home = `${window.location.pathname.split("/").slice(0, 3).join("/")}/`;
  const waiting = () => queued().filter((each) => new URL(each.url).pathname.startsWith(home));
  const keep = (queue) => localStorage.setItem(QUEUE, JSON.stringify(queue));
  const newToken = () => [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");

  // What was saved counts as known: the next save of the same page corrects it.
  const advance = (form, said) => {
    for (const entry of form.querySelectorAll("input[name^='e']")) {
      const mark = `m${entry.name.slice(1)}`;
      const [payer, enrollment, revision, was] = entry.value.split("|");
      const chosen = said.get(mark) || was || said.get("rest");
      if (!chosen || chosen === was) continue;
      entry.value = [payer, enrollment, Number(revision) + 1, chosen].join("|");
      const pill = form.querySelector(`input[name='${mark}'][value='${chosen}']`);
      if (pill) pill.checked = true;
    }
    form.elements.token.value = newToken();
  };

  const save = (event) => {
    const form = event.target;
    if (!form.matches("[data-queue]")) return;
    const said = new URLSearchParams(new FormData(form));
    if (event.submitter?.name) said.set(event.submitter.name, event.submitter.value);
    const token = newToken();
    said.set("token", token);
    try {
      keep([...queued(), { token, url: form.action, body: said.toString() }]);
    } catch {
      return; // There is no room: the browser sends the form itself.
    }
    event.preventDefault();
    advance(form, said);
    touched = false;
    send();
  };

  const later = (status = 0) => {
    const then = [401, 403].includes(status) ? "Обновите страницу и войдите, если попросят: тогда отправим." : "Отправим сами.";
    say(`Пока не отправлено. Сохранено на этом устройстве, ждут отправки: ${waiting().length}. ${then}`, false);
    clearTimeout(timer);
    timer = setTimeout(send, AGAIN_MS);
  };

  const send = async () => {
    if (busy) return;
    busy = true;
    try {
      for (let queue = waiting(); queue.length; queue = waiting()) {
        const [first] = queue;
        say("Сохраняем…");
        let answer, text;
        try {
          answer = await fetch(first.url, {
            method: "POST",
            // What waited may be older than this log-in: the page that is open vouches for it.
            headers: {
              "content-type": "application/x-www-form-urlencoded",
              "x-csrf-token": document.body.dataset.csrf ?? "",
            },
            body: first.body,
            signal: AbortSignal.timeout(PATIENCE_MS),
          });
          text = await answer.text();
        } catch {
          later();
          return;
        }
        if (isForNow(answer.status)) { later(answer.status); return; }
        keep(queued().filter((each) => each.token !== first.token));
        show(answer, new DOMParser().parseFromString(text, "text/html"));
      }
    } finally {
      busy = false;
    }
  };

  const show = (answer, page) => {
    const now = new Date().toLocaleTimeString("ru-RU", { hour: "2-digit", minute: "2-digit" });
    const problem = page.querySelector("[data-problem]")?.textContent;
    const why = problem ?? "страница устарела, откройте её заново.";
    say(answer.ok ? `Сохранено в ${now}` : `Не сохранено: ${why}`, answer.ok);
    const here = document.querySelector("[data-page]");
    const fresh = page.querySelector("[data-page]");
    const isThisLesson = (other) => ["day", "lesson"].every((name) =>
      other.querySelector(`input[name='${name}']`)?.value === here.querySelector(`input[name='${name}']`)?.value);
    const is_same = new URL(answer.url).pathname === window.location.pathname;
    if (!here || !fresh || !is_same || touched || waiting().length || !isThisLesson(fresh)) return;
    const focused = document.activeElement?.name && [document.activeElement.name, document.activeElement.value];
    here.replaceChildren(...fresh.childNodes);
    if (focused) here.querySelector(`[name='${focused[0]}'][value='${focused[1]}']`)?.focus({ preventScroll: true });
  };

  document.addEventListener("submit", save);
  document.addEventListener("change", () => { touched = true; });
  window.addEventListener("online", send);
  if (waiting().length) send();
})();
