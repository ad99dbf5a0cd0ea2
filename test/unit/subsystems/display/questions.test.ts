/** PAM's questions in the dialogue: their bytes, the answers, and every way in which none comes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { displayCommands } from '../../../../subsystems/display/commands/index.ts';
import type { Reauthentication } from '../../../../subsystems/display/desktops.ts';
import { Dialogue, type DialogueEnd } from '../../../../subsystems/display/dialogue.ts';
import { answerOf, textLines } from '../../../../subsystems/display/questions.ts';
import { FakeDesktops, fakeDesktop, someId } from '../../../support/fake-desktops.ts';

const restore = `restoresession --id="${someId}"\n`;
const none = Buffer.alloc(0);
const asks = (
  ...prompts: readonly (readonly [text: string, echo: boolean])[]
): Reauthentication => ({
  is: 'prompt',
  instruction: none,
  prompts: prompts.map(([text, echo]) => ({ text: Buffer.from(text), echo })),
});
const verdict = (is: 'accepted' | 'refused', told = ''): Reauthentication => ({
  is,
  instruction: Buffer.from(told),
  prompts: [],
});

function begin(questions: readonly Reauthentication[]) {
  const desktops = new FakeDesktops();
  desktops.desktops = [fakeDesktop()];
  desktops.isReauthWanted = true;
  desktops.questions.push(...questions);
  let text = '';
  let end: DialogueEnd | undefined;
  let wanted = true;
  const queue: Buffer[] = [];
  const pump = (): void => {
    for (
      let piece = queue.shift();
      piece !== undefined;
      piece = wanted ? queue.shift() : undefined
    ) {
      wanted = dialogue.receive(piece);
    }
  };
  const dialogue: Dialogue = new Dialogue(
    {
      desktops,
      hostName: 'desk1',
      defaultProtocol: 'rfb',
      write: (bytes) => {
        assert.equal(end, undefined, 'nothing is written behind the end');
        text += bytes.toString();
        return true;
      },
      ready: () => {
        wanted = true;
        pump();
      },
      ended: (how) => {
        end = how;
      },
      fault: (error) => {
        throw error;
      },
    },
    displayCommands,
    'ready',
  );
  dialogue.start();
  text = '';
  return {
    desktops,
    dialogue,
    get text() {
      return text;
    },
    get end() {
      return end;
    },
    /** As a channel gives it: no more until it is wanted. */
    async give(...pieces: readonly Buffer[]) {
      queue.push(...pieces);
      if (wanted) {
        pump();
      }
      for (let turns = 0; turns < 20; turns++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

describe('questions in the dialogue', { timeout: 20_000 }, () => {
  const twoAnswers = (): Parameters<typeof begin>[0] => [
    asks(['Password: ', false], ['Code: ', true]),
    verdict('accepted', 'Welcome\n'),
  ];
  const echo = `Restoresession --id="${someId}"\n`;
  const opened = /^\nNX> 1010 Welcome%0A\nNX> 700 .*NX> 710 Session status: running\nNX> 105 $/s;

  test('one by one, each behind a prompt of its own', async () => {
    const talk = begin(twoAnswers());
    await talk.give(Buffer.from(restore));
    assert.equal(talk.text, `${echo}NX> 1011 Password: \nNX> 102 Answer: `);
    await talk.give(Buffer.from('first\r\n'));
    const second = '\nNX> 1011 Code: \nNX> 101 Answer: ';
    assert.ok(talk.text.endsWith(second), talk.text);
    const at = talk.text.length;
    await talk.give(Buffer.from('s%65cond %\n'));
    assert.match(talk.text.slice(at), opened);
    assert.deepEqual(talk.desktops.answers, [[Buffer.from('first'), Buffer.from('second %')]]);
    assert.doesNotMatch(talk.text, /first|second/, 'no answer is echoed');
  });

  for (const size of [1, 7, 4096]) {
    test(`typed ahead, in pieces of ${size} bytes; nothing of it stays`, async () => {
      const talk = begin(twoAnswers());
      const input = Buffer.from(`${restore}first\nsecond\nlistsession --type="x"\n`);
      const pieces: Buffer[] = [];
      for (let from = 0; from < input.length; from += size) {
        pieces.push(Buffer.from(input.subarray(from, from + size)));
      }
      await talk.give(...pieces);
      assert.deepEqual(talk.desktops.answers, [[Buffer.from('first'), Buffer.from('second')]]);
      assert.match(talk.text, /NX> 710 .*NX> 127 Available/s, 'the dialogue goes on');
      for (const piece of pieces) {
        assert.doesNotMatch(piece.toString(), /first|second/);
      }
    });
  }

  test('a refusal says why, opens nothing, and may be tried again', async () => {
    const talk = begin([
      asks(['Password: ', false]),
      verdict('refused', 'No.'),
      asks(['Password: ', false]),
      verdict('accepted'),
    ]);
    await talk.give(Buffer.from(`${restore}wrong\n`));
    assert.ok(
      talk.text.endsWith(
        'Answer: \nNX> 1010 No.\nNX> 404 ERROR: Authentication failed.\nNX> 500 ERROR: Last operation failed.\nNX> 105 ',
      ),
      talk.text,
    );
    assert.equal(talk.desktops.viewers.length, 0);
    await talk.give(Buffer.from(`${restore}right\n`));
    assert.match(talk.text, /NX> 710 /);
  });

  for (const [how, leave, status] of [
    ['the end of the input', (dialogue: Dialogue) => dialogue.endInput(), 0],
    ['the end of the channel', (dialogue: Dialogue) => dialogue.abandon(), 1],
    ['a line too long', (dialogue: Dialogue) => void dialogue.receive(Buffer.alloc(9000, 'x')), 1],
  ] as const) {
    test(`${how} in front of the second answer gives it up`, async () => {
      const talk = begin([...twoAnswers().slice(0, 1), verdict('refused')]);
      await talk.give(Buffer.from(`${restore}first\n`));
      leave(talk.dialogue);
      await talk.give();
      assert.deepEqual(talk.end, { is: 'closed', status });
      assert.deepEqual(talk.desktops.answers, [[]], 'no answer at all, so that it is aborted');
      assert.equal(talk.desktops.viewers.length, 0);
    });
  }

  test('texts: every byte, long ones in pieces that no escape is cut in', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    for (const text of [all, Buffer.alloc(5000, 0xff), Buffer.from(''), Buffer.from('a b')]) {
      const lines = textLines(1011, text);
      const joined = lines.map((line) => line.replace(/^NX> 1011 /, '')).join('');
      assert.ok(lines.every((line) => line.length < 1024 && /^[\x20-\x7e]*$/.test(line)));
      assert.ok(lines.every((line) => !/%[0-9A-F]?$/.test(line)));
      assert.deepEqual(answerOf(Buffer.from(joined)), text);
    }
    assert.deepEqual(textLines(1011, Buffer.from('Größe: ')), ['NX> 1011 Gr%C3%B6%C3%9Fe: ']);
  });
});
