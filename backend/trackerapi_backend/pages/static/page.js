// Keep the customer's page up to date without a reload.
//
// The stream of the page sends the parts that change. Without a stream, the script
// requests the page itself again. Parts are changed in place, so that focus, selection,
// scroll position and open details stay. Times are in the zone of the reader. All words
// are in `data-texts` of the script element.
"use strict";

(function () {
  // Longest time between two requests, of a visible page and of a hidden page.
  const MAX_WAIT_SECONDS = 30;
  const MAX_HIDDEN_WAIT_SECONDS = 300;
  // The stream sends a heartbeat at least every 15 seconds.
  const MAX_SILENCE_SECONDS = 40;
  const REQUEST_SECONDS = 20;
  // Links and elements that change.
  const LINKS = ["icon", "stylesheet"];
  const PARTS = ["provider", "job", "cards", "about-job", "facts"];

  const texts = JSON.parse(document.currentScript.dataset.texts);
  const address = location.pathname + "/stream" + location.search;
  const zoneFormat = new Intl.DateTimeFormat("en", { timeZoneName: "short" });

  let stream = null;
  let timer = 0;
  let waitSeconds = 1;
  // Clock of the server minus clock of the browser, in milliseconds.
  let clockOffset = -Infinity;
  // Latest sign of the server: by the clock of the browser, and of the server.
  let heardAt = 0;
  let connectedAt = 0;

  // Texts

  function now() {
    return Date.now() + clockOffset;
  }

  function fill(key, values) {
    return texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  function twoDigits(number) {
    return String(number).padStart(2, "0");
  }

  function clockText(instant) {
    return twoDigits(instant.getHours()) + ":" + twoDigits(instant.getMinutes());
  }

  function dayText(instant) {
    const month = texts.months[instant.getMonth()];
    return fill("day", { day: instant.getDate(), month });
  }

  function dateText(instant) {
    return dayText(instant) + " " + instant.getFullYear();
  }

  // Name of the zone, such as `GMT+1`.
  function zoneText(instant) {
    const parts = zoneFormat.formatToParts(instant);
    return parts.find((part) => part.type === "timeZoneName").value;
  }

  function timeText(instant) {
    const today = new Date(now());
    const clock = clockText(instant);
    if (instant.toDateString() === today.toDateString()) return clock;
    const isThisYear = instant.getFullYear() === today.getFullYear();
    const day = isThisYear ? dayText(instant) : dateText(instant);
    return fill("on_day", { clock, day });
  }

  function ageText(instant) {
    const seconds = Math.max(0, Math.floor((now() - instant) / 1000));
    let [unit, count] = ["second", Math.floor(seconds / 10) * 10];
    if (seconds >= 3600) [unit, count] = ["hour", Math.floor(seconds / 3600)];
    else if (seconds >= 60) [unit, count] = ["minute", Math.floor(seconds / 60)];
    return fill(count === 1 ? unit : unit + "s", { n: count });
  }

  // Forms of times: `data-form` of an element, or none for the time alone.
  const forms = {
    age: ageText,
    reported(instant) {
      const [age, at] = [now() - instant, timeText(instant)];
      if (age >= 86400e3) return fill("reported_earlier", { at });
      const words = age < 10e3 ? texts.now : fill("ago", { age: ageText(instant) });
      return fill("reported", { age: words, at });
    },
    as_of(instant) {
      const at = clockText(instant) + " " + zoneText(instant);
      return fill("as_of", { at, day: dateText(instant) });
    },
    lost: (instant) => fill("lost_line", { at: timeText(instant) }),
    offline: (instant) => fill("offline_line", { at: timeText(instant) }),
  };

  function showTimes(tree) {
    for (const element of tree.querySelectorAll("time")) {
      const { form, since } = element.dataset;
      if (!since && element.dateTime.startsWith("P")) continue; // a duration
      const isConnection = ["as_of", "lost", "offline"].includes(form);
      const instant = new Date(isConnection ? connectedAt : since || element.dateTime);
      const clock = clockText(instant) + ":" + twoDigits(instant.getSeconds());
      const title = dateText(instant) + ", " + clock + " " + zoneText(instant);
      setText(element.firstChild, (forms[form] || timeText)(instant));
      setAttribute(element, "title", title);
    }
  }

  // Changes in place

  // Replace the characters that differ: a selection around them stays.
  function setText(node, text) {
    const old = node.data;
    const shorter = Math.min(old.length, text.length);
    let start = 0;
    while (start < shorter && old[start] === text[start]) start += 1;
    let [end, newEnd] = [old.length, text.length];
    while (end > start && newEnd > start && old[end - 1] === text[newEnd - 1]) {
      end -= 1;
      newEnd -= 1;
    }
    if (end > start || newEnd > start) {
      node.replaceData(start, end - start, text.slice(start, newEnd));
    }
  }

  function setAttribute(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  // Return a text that two states of the same node share. The first paragraph of an
  // item is the name of a step or a message.
  function keyOf(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return node.nodeName;
    const { key = node.id || node.getAttribute("aria-labelledby") } = node.dataset;
    const firstClass = (node.getAttribute("class") || "").split(" ")[0];
    const paragraph = node.localName === "li" && node.querySelector("p");
    const label = paragraph ? paragraph.textContent : key || firstClass;
    return node.localName + " " + label;
  }

  function change(node, fresh) {
    if (node.nodeType !== Node.ELEMENT_NODE) {
      setText(node, fresh.data);
      return;
    }
    for (const { name } of Array.from(node.attributes)) {
      // The reader opens and closes details.
      if (name !== "open" && !fresh.hasAttribute(name)) node.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) setAttribute(node, name, value);
    changeChildren(node, fresh);
  }

  function changeChildren(parent, fresh) {
    const known = new Map();
    for (const child of parent.childNodes) {
      const key = keyOf(child);
      if (!known.has(key)) known.set(key, []);
      known.get(key).push(child);
    }
    const children = Array.from(fresh.childNodes, (child) => {
      const old = (known.get(keyOf(child)) || []).shift();
      if (old) change(old, child);
      return old || child;
    });
    // The rest goes first: otherwise all nodes behind it would be moved, and a node
    // that is moved loses the focus.
    for (const rest of known.values()) rest.forEach((child) => child.remove());
    let next = parent.firstChild;
    for (const child of children) {
      if (child === next) next = next.nextSibling;
      else parent.insertBefore(child, next);
    }
  }

  function linkOf(tree, relation) {
    return tree.querySelector('link[rel="' + relation + '"]');
  }

  // Show title and links of the document, and the inner HTML of elements by their ids.
  function show({ title, links, parts }) {
    const trees = Object.keys(parts).map((id) => {
      const template = document.createElement("template");
      template.innerHTML = parts[id];
      readClock(template.content);
      return [document.getElementById(id), template.content];
    });
    markConnected();
    // Another release of the server may send parts that this page does not have.
    for (const [element, tree] of trees.filter(([element]) => element)) {
      showTimes(tree);
      changeChildren(element, tree);
    }
    document.title = title;
    for (const relation of LINKS) {
      setAttribute(linkOf(document, relation), "href", links[relation]);
    }
  }

  // Connection

  // Learn the clock of the server: a page was rendered before it arrived.
  function readClock(tree) {
    const rendered = tree.querySelector('time[data-form="as_of"]');
    if (!rendered) return;
    const offset = Date.parse(rendered.dateTime) - Date.now();
    clockOffset = Math.max(clockOffset, offset);
  }

  function markConnected() {
    heardAt = Date.now();
    connectedAt = now();
    const line = document.getElementById("connection");
    if (line) line.remove();
    document.documentElement.classList.remove("is-lost");
  }

  // Show when the page was last connected, in place of the age of the news.
  function markLost() {
    const form = navigator.onLine ? "lost" : "offline";
    const known = document.getElementById("connection");
    if (known && known.dataset.form === form) return;
    if (known) known.remove();
    const [line, word, dot, time] = ["p", "b", "span", "time"].map((name) =>
      document.createElement(name)
    );
    [line.id, line.className, dot.className, time.className] = [
      ...["connection", "live", "dot", "soft"],
    ];
    line.dataset.form = time.dataset.form = form;
    word.append(dot, texts[form]);
    time.append("");
    line.append(word, " ", time);
    showTimes(line);
    document.querySelector("#job .card").append(line);
    document.documentElement.classList.add("is-lost");
  }

  function connect() {
    clearTimeout(timer);
    if (!window.EventSource) {
      request();
      return;
    }
    const opening = (stream = new EventSource(address));
    let isOpen = false;
    heardAt = Date.now();
    opening.onopen = () => {
      isOpen = true;
    };
    opening.addEventListener("heartbeat", markConnected);
    opening.addEventListener("page", (event) => {
      waitSeconds = 1;
      show(JSON.parse(event.data));
    });
    opening.onerror = () => {
      disconnect();
      // A stream ends from time to time. If it does not begin, the reason is unknown:
      // a browser does not tell the status of the answer.
      if (isOpen) retry();
      else request();
    };
  }

  function disconnect() {
    stream.close();
    stream = null;
  }

  function retry() {
    const longest = document.hidden ? MAX_HIDDEN_WAIT_SECONDS : MAX_WAIT_SECONDS;
    waitSeconds = Math.min(waitSeconds, longest);
    clearTimeout(timer);
    // All viewers lose their streams at a restart, and should not return at once.
    timer = setTimeout(connect, waitSeconds * (750 + 500 * Math.random()));
    waitSeconds *= 2;
  }

  // Request the page; without a stream meanwhile, try again later.
  async function request() {
    const controller = new AbortController();
    const limit = setTimeout(() => controller.abort(), REQUEST_SECONDS * 1000);
    const options = { cache: "no-store", signal: controller.signal };
    try {
      const answer = await fetch(location.href, options);
      if (answer.status === 404) {
        location.reload(); // shows the page of an ended link
        return;
      }
      if (!answer.ok) throw new Error();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const [links, parts] = [{}, {}];
      for (const id of PARTS) parts[id] = page.getElementById(id).innerHTML;
      for (const each of LINKS) links[each] = linkOf(page, each).getAttribute("href");
      show({ title: page.title, links, parts });
    } catch (_) {
      if (!stream) markLost();
    } finally {
      clearTimeout(limit);
    }
    if (!stream) retry();
  }

  function tick() {
    if (stream && Date.now() - heardAt > MAX_SILENCE_SECONDS * 1000) {
      disconnect();
      request();
    }
    if (!document.hidden) showTimes(document);
  }

  // A stream does not end when the network does: its last messages would come later.
  function goOffline() {
    if (stream) disconnect();
    markLost();
    retry();
  }

  function resume() {
    if (document.hidden) return;
    if (!stream) connect();
    tick();
  }

  // Link

  // Copy the link. A page without TLS has no clipboard, and some browsers refuse the
  // command too: then the field stays, selected for a copy by hand.
  async function copyLink() {
    let isCopied = true;
    said.textContent = "";
    try {
      await navigator.clipboard.writeText(field.value);
    } catch (_) {
      showField(true);
      field.select();
      isCopied = document.execCommand("copy");
    }
    if (isCopied) {
      showField(false);
      button.focus();
    }
    // Later than the removal: a screen reader announces the same text again.
    setTimeout(() => {
      said.textContent = texts[isCopied ? "copied" : "selected"];
    }, 100);
  }

  function showField(isShown) {
    field.parentNode.hidden = !isShown;
  }

  const [field, button, said] = ["link", "copy", "copied"].map((id) =>
    document.getElementById(id)
  );
  button.hidden = false;
  button.addEventListener("click", copyLink);
  showField(false);

  const [zone, short] = [zoneFormat.resolvedOptions().timeZone, zoneText(new Date())];
  const zoneElement = document.getElementById("zone");
  zoneElement.textContent = zone === short ? zone : zone + " (" + short + ")";
  readClock(document);
  connectedAt = now();
  showTimes(document);
  connect();
  setInterval(tick, 1000);
  addEventListener("online", resume);
  addEventListener("offline", goOffline);
  document.addEventListener("visibilitychange", resume);
})();
