// The two clipboards: what the desktop copies goes to this computer, and what is copied here goes to
// the desktop, as far as the browser lets a page; the panel is for the rest. Runs in: browser.

const maxChars = 1024 * 1024;

export class ClipboardPanel {
  #rfb;
  #say;
  #known = '';
  #dialog = document.querySelector('#clipboard');
  #text = document.querySelector('#clipboard-text');

  constructor(rfb, say) {
    this.#rfb = rfb;
    this.#say = say;
    rfb.addEventListener('clipboard', ({ detail }) => void this.#fromDesktop(detail.text));
    window.addEventListener('focus', () => void this.#offer());
    const onClick = (id, act) => document.querySelector(id).addEventListener('click', act);
    onClick('#clipboard-open', () => this.#dialog.showModal());
    onClick('#clipboard-close', () => this.#dialog.close());
    onClick('#clipboard-read', () => void this.#read());
    onClick('#clipboard-send', () => {
      this.#give(this.#text.value);
      this.#dialog.close();
    });
    this.#dialog.addEventListener('close', () => rfb.focus());
  }

  async #fromDesktop(text) {
    if (text.length > maxChars) return;
    this.#known = text;
    this.#text.value = text;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // The browser wants a click or a permission first: the panel has it.
      this.#say('The desktop has copied something: see Clipboard.');
    }
  }

  /** Only where the person has allowed it before: coming back to the window must ask nothing. */
  async #offer() {
    try {
      const { state } = await navigator.permissions.query({ name: 'clipboard-read' });
      if (state !== 'granted') return;
      const text = await navigator.clipboard.readText();
      if (text !== this.#known) this.#give(text);
    } catch {
      // This browser has no such permission, or the window has lost the focus again.
    }
  }

  async #read() {
    try {
      this.#text.value = await navigator.clipboard.readText();
    } catch {
      this.#say('The browser does not allow it: paste into the field.');
    }
  }

  #give(text) {
    if (text === '') return;
    if (text.length > maxChars) {
      this.#say(`The clipboard holds more than ${maxChars} characters: it is not sent.`);
      return;
    }
    this.#known = text;
    this.#text.value = text;
    this.#rfb.clipboardPasteFrom(text);
  }
}
