// The page of `connect --web`: gets in with the address's token or the cookie of an earlier load,
// and shows the desktop with noVNC. Runs in: browser.
import RFB from '/novnc/core/rfb.js';
import { ClipboardPanel } from '/clipboard.js';

// As in viewer-socket.ts.
const shownElsewhere = 4002;
const lastSaid = 4999;
// RFC 6455 section 7.1.5: no close came; with another code noVNC has given up by itself.
const cutOff = 1006;
const clientGone = 'sshdesk has ended on this computer. You may close this page.';
const unreadable = 'The desktop has sent something that this page cannot show.';

const element = (id) => document.querySelector(`#${id}`);
const status = element('status');

function say(text, isTrouble = false) {
  status.textContent = text;
  status.classList.toggle('trouble', isTrouble);
}

class Refused extends Error {}

async function words(response) {
  return new Refused((await response.text()).trim());
}

/** The path of this browser's seat. The token leaves the address bar before it is used. */
async function takeSeat() {
  const token = location.hash.slice(1);
  if (location.pathname !== '/') return location.pathname;
  history.replaceState(null, '', '/');
  if (token === '') throw new Refused('Open the address that sshdesk gave in its terminal.');
  const headers = { 'Content-Type': 'text/plain' };
  const response = await fetch('/token', { method: 'POST', body: token, headers });
  if (!response.ok) throw await words(response);
  const { path } = await response.json();
  history.replaceState(null, '', path);
  return path;
}

async function settingsOf(path) {
  const response = await fetch(`${path}settings`);
  if (!response.ok) throw await words(response);
  return response.json();
}

function connect(path, { title, isResized }) {
  document.title = title;
  say(`Connecting to ${title} …`);
  const socket = new WebSocket(`ws://${location.host}${path}rfb`);
  const rfb = new RFB(element('desktop'), socket, { shared: true });
  rfb.resizeSession = isResized;
  // With a size of its own the desktop is shown whole.
  rfb.scaleViewport = !isResized;
  rfb.background = '#282828';
  let reason = null;
  socket.addEventListener('close', ({ code, reason: text }) => {
    if (code >= 4000 && code <= lastSaid) reason = text;
    element('buttons').hidden = true;
    element('again').hidden = code !== shownElsewhere;
    say(reason ?? (code === cutOff ? clientGone : unreadable), true);
  });
  rfb.addEventListener('connect', () => {
    say(title);
    element('buttons').hidden = false;
    rfb.focus();
  });
  rfb.addEventListener('desktopname', ({ detail }) => {
    document.title = `${title} – ${detail.name}`;
  });
  rfb.addEventListener('credentialsrequired', () => {
    reason = 'The desktop asks for a password of its own, which this page cannot give.';
    rfb.disconnect();
  });
  rfb.addEventListener('securityfailure', ({ detail }) => {
    reason = `The desktop refuses: ${detail.reason ?? 'it gives no reason'}`;
  });
  return rfb;
}

async function fillScreen(rfb) {
  try {
    await element('desktop').requestFullscreen();
    await navigator.keyboard?.lock();
  } catch {
    say('The browser does not allow full screen.');
  }
  rfb.focus();
}

function watchButtons(rfb) {
  element('full').addEventListener('click', () => void fillScreen(rfb));
  element('keys-open').addEventListener('click', () => element('keys').showModal());
  element('keys-close').addEventListener('click', () => element('keys').close());
  element('keys').addEventListener('close', () => rfb.focus());
  // Before noVNC's own listeners, which keep every key: nobody may be locked into the desktop.
  const leave = (event) => {
    if (event.code !== 'KeyB' || !event.ctrlKey || !event.altKey || !event.shiftKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.type === 'keydown') element('clipboard-open').focus();
  };
  window.addEventListener('keydown', leave, true);
}

element('again').addEventListener('click', () => location.reload());
try {
  const path = await takeSeat();
  const rfb = connect(path, await settingsOf(path));
  watchButtons(rfb);
  new ClipboardPanel(rfb, say);
} catch (error) {
  const text = error instanceof Refused ? error.message : 'sshdesk does not answer any more.';
  say(text, true);
}
