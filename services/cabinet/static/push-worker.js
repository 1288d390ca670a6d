// Shows the messages that a push service brings, also while no page is open.
"use strict";

self.addEventListener("push", (event) => {
  const told = event.data?.json() ?? { title: "Новости о занятиях", body: "" };
  event.waitUntil(
    self.registration.showNotification(told.title, {
      body: told.body, lang: "ru", icon: "/static/icon.svg", tag: told.id,
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow("/"));
});
