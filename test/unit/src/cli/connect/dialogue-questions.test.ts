/** What a server asks in front of a desktop, as the client puts it to the person. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { DisplayDialogue } from '../../../../../src/cli/connect/dialogue.ts';
import { ClientFailure } from '../../../../../src/ssh/client/failure.ts';
import type { Question } from '../../../../../src/ssh/client/method.ts';

const id = '0123456789ABCDEF0123456789ABCDEF';
const running = 'NX> 710 Session status: running\nNX> 105 ';
const refused =
  'NX> 404 ERROR: Authentication failed.\nNX> 500 ERROR: Last operation failed.\nNX> 105 ';

/** `replies`: to one line of the client after the other. */
function dialogueWith(replies: readonly string[], answers: readonly string[] | 'batch') {
  const left = [...replies];
  const sent: string[] = [];
  let held = '';
  const client = new Duplex({
    read() {
      // Replies come by themselves.
    },
    write(data: Buffer, _encoding, done) {
      held += data.toString('latin1');
      for (let end = held.indexOf('\n'); end >= 0; end = held.indexOf('\n')) {
        sent.push(held.slice(0, end));
        held = held.slice(end + 1);
        client.push(left.shift() ?? replies.at(-1));
      }
      done();
    },
  });
  const asked: Question[] = [];
  const shown: string[] = [];
  const typed = [...(answers === 'batch' ? [] : answers)];
  const dialogue = new DisplayDialogue(client, {
    conversation:
      answers === 'batch'
        ? null
        : {
            show: (text) => void shown.push(text),
            async ask(questions) {
              asked.push(...questions);
              return questions.map(() => typed.shift() ?? 'x');
            },
          },
    attempts: 3,
    login: 'alice@desk',
  });
  return { dialogue, asked, shown, sent };
}

const fails = (kind: string, text: RegExp) => (error: unknown) =>
  error instanceof ClientFailure && error.kind === kind && text.test(error.detail);

describe('questions of a server', { timeout: 20_000 }, () => {
  const question = 'NX> 1011 Code: \nNX> 102 Answer: ';

  test('its words and whether the answer may be seen, for the person; the answer as it was typed', async () => {
    const { dialogue, asked, shown, sent } = dialogueWith(
      [
        'R\nNX> 1010 Two%0A\nNX> 1010 lines\nNX> 1011 Gr%C3%B6\nNX> 1011 %C3%9Fe: \nNX> 101 Answer: ',
        `\n${question}`,
        `\nNX> 1010 Welcome\n${running}`,
      ],
      ['1%2 é\u0001', ''],
    );
    await dialogue.restore(id);
    assert.deepEqual(asked, [
      { text: '(alice@desk) Größe: ', isEchoed: true },
      { text: '(alice@desk) Code: ', isEchoed: false },
    ]);
    assert.deepEqual(shown, ['Two\nlines\n', 'Welcome\n']);
    assert.deepEqual(sent.slice(1), ['1%252 \u00c3\u00a9%01', '']);
  });

  test('in batch mode nothing is answered, and the question is named', async () => {
    const { dialogue, sent } = dialogueWith([`R\n${question}`], 'batch');
    await assert.rejects(
      dialogue.restore(id),
      fails('authentication', /\("Code:"\), and in batch mode nobody answers/),
    );
    assert.equal(sent.length, 1);
  });

  test('not right: tried anew as often as a password is, then PAM’s words', async () => {
    const { dialogue, asked, sent } = dialogueWith(
      [0, 1, 2].flatMap(() => [`R\n${question}`, `\nNX> 1010 No%1B[2J.\n${refused}`]),
      ['a', 'b', 'c', 'd'],
    );
    await assert.rejects(
      dialogue.restore(id),
      fails('authentication', /^The server does not resume the desktop: No\\x1b\[2J\.$/),
    );
    assert.equal(asked.length, 3);
    assert.deepEqual(
      sent.filter((line) => line.length === 1),
      ['a', 'b', 'c'],
    );
  });

  test('a server that never stops asking', async () => {
    const { dialogue, asked } = dialogueWith([`R\n${question}`], []);
    await assert.rejects(dialogue.restore(id), fails('authentication', /never stops asking/));
    assert.equal(asked.length, 128);
  });

  test('where nothing is to be asked the person is not', async () => {
    for (const ask of [
      (dialogue: DisplayDialogue) => dialogue.list(),
      (dialogue: DisplayDialogue) => dialogue.start('x', null),
    ]) {
      const { dialogue, asked, sent } = dialogueWith([`L\n${question}`], ['secret']);
      await assert.rejects(ask(dialogue), fails('desktop', /asks for more \(102\)/));
      assert.deepEqual([asked.length, sent.length], [0, 1]);
    }
  });
});
