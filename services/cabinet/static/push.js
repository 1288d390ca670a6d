// Turns messages in this browser on and off. Where it cannot take any, nothing is offered.
"use strict";

(() => {
  const root = document.querySelector("[data-push]");
  const csrf = document.body.dataset.csrf;
  if (!root || !csrf || !navigator.serviceWorker || !window.PushManager) return;
  const button = root.querySelector("button");
  const status = root.querySelector("[role=status]");

  const key = () => {
    const text = root.dataset.key.replaceAll("-", "+").replaceAll("_", "/");
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  };

  const tell = async (path, subscription) => {
    const headers = { "content-type": "application/json", "x-csrf-token": csrf };
    const body = JSON.stringify(subscription);
    const answer = await fetch(path, { method: "POST", headers, body });
    if (!answer.ok) throw new Error(String(answer.status));
  };

  const show = (isOn) => {
    button.textContent = isOn ? "Не присылать в этот браузер" : "Присылать в этот браузер";
    button.dataset.on = isOn ? "1" : "";
    root.hidden = false;
  };

  const turnOn = async (worker) => {
    if (await Notification.requestPermission() !== "granted") {
      status.textContent = "Браузеру запрещено показывать сообщения. Это меняется в его настройках.";
      return;
    }
    const wanted = { userVisibleOnly: true, applicationServerKey: key() };
    const subscription = await worker.pushManager.subscribe(wanted);
    try {
      await tell(root.dataset.push, subscription);
    } catch (error) {
      await subscription.unsubscribe();
      throw error;
    }
    show(true);
    status.textContent = "Готово: сообщения придут и сюда.";
  };

  const turnOff = async (worker) => {
    const subscription = await worker.pushManager.getSubscription();
    if (subscription) {
      await tell(`${root.dataset.push}/off`, subscription);
      await subscription.unsubscribe();
    }
    show(false);
    status.textContent = "Сюда сообщения больше не придут.";
  };

  const start = async () => {
    const worker = await navigator.serviceWorker.register("/push-worker.js");
    show(await worker.pushManager.getSubscription() !== null);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await (button.dataset.on ? turnOff(worker) : turnOn(worker));
      } catch {
        status.textContent = "Не получилось. Попробуйте ещё раз немного позже.";
      } finally {
        button.disabled = false;
      }
    });
  };

  start().catch(() => { root.hidden = true; });
})();
