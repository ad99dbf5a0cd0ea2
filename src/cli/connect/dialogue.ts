/**
 * The client's side of the `display` subsystem: an NX-style dialogue of lines and prompts, after
 * whose `bye` the channel is raw RFB. Runs in: user.
 */
import type { Duplex } from 'node:stream';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { ByteSource } from './byte-source.ts';
import { printableLine } from './printable.ts';
import { answerTo, type Questioning, show, unescaped, WrongAnswer } from './questions.ts';
import type { Geometry } from './target.ts';

export interface ListedDesktop {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly state: string;
  readonly display: number;
  readonly depth: number;
  readonly geometry: string;
}

/** Values by code. */
export type SaidOfIt = ReadonlyMap<number, string>;

/** What the desktop speaks behind the dialogue. */
export type OpenAs =
  | { readonly protocol: 'rfb' }
  | { readonly protocol: 'nx'; readonly link: string };

interface ReplyLine {
  /** 0: a line without a code. */
  readonly code: number;
  readonly text: string;
}

type Token =
  | { readonly is: 'prompt'; readonly code: number; readonly label: string }
  | ({ readonly is: 'line' } & ReplyLine);

const maxLineBytes = 8 * 1024;
const maxLines = 8 * 1024;
/** Of one dialogue with PAM. */
const maxQuestions = 128;
const promptCodes = [101, 102, 105, 106, 109];
/** What is typed may be seen, or not. */
const shownAnswer = 101;
const answerLabel = 'Answer';
const toldCode = 1010;
const askedCode = 1011;
const wrongCode = 404;
const readyCode = 710;
const byeCode = 999;

export class DisplayDialogue {
  readonly #stream: Duplex;
  readonly #source: ByteSource;
  readonly #questioning: Questioning;
  readonly #as: OpenAs;
  /** The person thinks, as long as the server waits. */
  onAsking: (isAsking: boolean) => void = () => undefined;

  constructor(stream: Duplex, questioning: Questioning, as: OpenAs = { protocol: 'rfb' }) {
    this.#stream = stream;
    this.#as = as;
    this.#questioning = questioning;
    this.#source = new ByteSource(stream, 'the dialogue of the desktop');
  }

  /** Reads the greeting up to the first prompt. */
  async greet(): Promise<void> {
    const lines = await this.#reply();
    if (!lines.some((line) => line.text.startsWith('HELLO NXSERVER - Version '))) {
      throw new ClientFailure('desktop', 'the display subsystem does not greet as one');
    }
  }

  async list(): Promise<ListedDesktop[]> {
    const lines = await this.#command(
      `listsession --type="unix-desktop" --status="suspended,running" --protocol="${this.#as.protocol}"`,
    );
    if (!lines.some((line) => line.code === 127)) throw failureOf(lines);
    return lines.flatMap((line) => (line.code === 0 ? (parseRow(line.text) ?? []) : []));
  }

  /** Starts a desktop of this name. What is said of it, by code. */
  start(name: string, geometry: Geometry | null): Promise<SaidOfIt> {
    const size = geometry ? ` --geometry="${geometry.width}x${geometry.height}"` : '';
    return this.#run(
      `startsession --type="unix-desktop" --session="${escapeValue(name)}"${size}${this.#wishes()}`,
    );
  }

  #wishes(): string {
    const as = this.#as;
    const link = as.protocol === 'nx' ? ` --link="${escapeValue(as.link)}"` : '';
    return ` --protocol="${as.protocol}"${link}`;
  }

  /** As often as a dialogue is tried. */
  async restore(id: string): Promise<SaidOfIt> {
    const { conversation, attempts } = this.#questioning;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#run(`restoresession --id="${id}"${this.#wishes()}`, maxQuestions);
      } catch (error) {
        if (!(error instanceof WrongAnswer) || attempt >= attempts) throw error;
        conversation?.show('Permission denied, please try again.\n');
      }
    }
  }

  async #run(command: string, mayAsk = 0): Promise<SaidOfIt> {
    const lines = await this.#command(command, mayAsk);
    const told = textOf(lines, toldCode);
    if (lines.some((line) => line.code === readyCode)) {
      show(this.#questioning.conversation, told);
      return new Map(lines.map(({ code, text }) => [code, text.replace(/^[^:]*: /, '')]));
    }
    throw lines.some((line) => line.code === wrongCode)
      ? new WrongAnswer(printableLine(told.toString('utf8')))
      : failureOf(lines);
  }

  /** From here the stream is the desktop's own; what has been read of it already is given back to the stream. */
  async enterTunnel(): Promise<void> {
    this.#stream.write('bye\n');
    for (let count = 0; count < maxLines; count += 1) {
      const token = await this.#token();
      if (token.is === 'line' && token.code === byeCode) {
        this.#source.release();
        return;
      }
    }
    throw new ClientFailure('desktop', 'the dialogue of the desktop has no end');
  }

  quit(): void {
    this.#stream.write('quit\n');
  }

  #command(command: string, mayAsk = 0): Promise<ReplyLine[]> {
    this.#stream.write(`${command}\n`);
    return this.#reply(mayAsk);
  }

  /** `mayAsk`: how many questions the person is to answer at most. */
  async #reply(mayAsk = 0): Promise<ReplyLine[]> {
    const lines: ReplyLine[] = [];
    let asked = 0;
    while (lines.length < maxLines) {
      const token = await this.#token();
      if (token.is === 'line') {
        lines.push(token);
        if (token.code === byeCode) throw failureOf(lines);
      } else if (token.code === 105) {
        return lines;
      } else if (token.label === answerLabel && mayAsk > 0) {
        asked += 1;
        if (asked > mayAsk)
          throw new ClientFailure('authentication', 'the server never stops asking');
        await this.#answer(lines.splice(0), token.code === shownAnswer);
      } else {
        throw new ClientFailure('desktop', `the display subsystem asks for more (${token.code})`);
      }
    }
    throw new ClientFailure('desktop', 'the display subsystem says too much');
  }

  async #answer(lines: readonly ReplyLine[], isEchoed: boolean): Promise<void> {
    this.onAsking(true);
    const [told, asked] = [textOf(lines, toldCode), textOf(lines, askedCode)];
    const line = await answerTo(this.#questioning, told, asked, isEchoed);
    this.#stream.write(line, () => line.fill(0));
    this.onAsking(false);
  }

  #token(): Promise<Token> {
    return this.#source.parse(parseToken);
  }
}

/** A prompt ends with a blank and no newline; the echo of the command may follow it on its line. */
function parseToken(held: Buffer): { value: Token; used: number } | null {
  const head = held.toString('latin1', 0, 8);
  const prompt = /^NX> (\d{3}) $/.exec(head);
  if (prompt && promptCodes.includes(Number(prompt[1]))) {
    const rest = held.indexOf(': ');
    const code = Number(prompt[1]);
    if (code === 105) return { value: { is: 'prompt', code, label: '' }, used: 8 };
    if (rest >= 0) {
      const label = held.toString('latin1', 8, rest);
      return { value: { is: 'prompt', code, label }, used: rest + 2 };
    }
  }
  const end = held.indexOf(0x0a);
  if (end < 0) {
    if (held.length > maxLineBytes) {
      throw new ClientFailure('desktop', 'the display subsystem sends a line too long');
    }
    return null;
  }
  const text = held.toString('utf8', 0, Math.min(end, maxLineBytes)).replace(/\r$/, '');
  const match = /^NX> (\d{3,4}) ?(.*)$/s.exec(text);
  const line: Token = match
    ? { is: 'line', code: Number(match[1]), text: match[2] ?? '' }
    : { is: 'line', code: 0, text };
  return { value: line, used: end + 1 };
}

function parseRow(text: string): ListedDesktop | null {
  const match =
    /^(\d+)\s+([\w-]+)\s+([0-9A-Fa-f]{32})\s+[A-Z-]{8}\s+(\d+|N\/A)\s+(\d+x\d+|N\/A)\s+(\w+|N\/A)\s+(\S.*)$/.exec(
      text,
    );
  if (!match) return null;
  const [, display = '', type = '', id = '', depth = '', geometry = '', state = '', name = ''] =
    match;
  return {
    id: id.toUpperCase(),
    name: name.trim(),
    type,
    state: state === 'Suspended' ? 'detached' : state.toLowerCase(),
    display: Number(display),
    depth: depth === 'N/A' ? 0 : Number(depth),
    geometry,
  };
}

/** Values are %-escaped once: no quote, blank or newline of a name reaches the grammar. */
export function escapeValue(text: string): string {
  return Buffer.from(text, 'utf8').reduce(
    (escaped, byte) =>
      escaped +
      (/[A-Za-z0-9_.-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`),
    '',
  );
}

/** A text of PAM, which may take several lines. */
function textOf(lines: readonly ReplyLine[], code: number): Buffer {
  return unescaped(lines.flatMap((line) => (line.code === code ? [line.text] : [])).join(''));
}

/** The lines that say why, in their order, without the echo and the fixed ones that say nothing. */
function failureOf(lines: readonly ReplyLine[]): ClientFailure {
  const isTelling = (code: number): boolean =>
    code === 1004 || (code >= 400 && code < 600 && code !== 500);
  const telling = lines.filter(({ code }, at) => isTelling(code) || (code === 0 && at > 0));
  const said = lines.some(({ code }) => isTelling(code))
    ? telling
    : lines.filter(({ code }) => code === 500);
  const text = said.map((line) => printableLine(line.text)).filter((line) => line !== '');
  return new ClientFailure('desktop', text.join('\n') || 'the desktop did not start');
}
