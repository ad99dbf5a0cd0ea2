import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pamStyle } from '../../../../pam/leader-protocol.ts';
import type { LeaderClient, PamMessage } from '../../../../pam/leader-client.ts';
import { Conversation, promptsOf } from '../../../../src/monitor/conversation.ts';

function message(style: keyof typeof pamStyle, text: string): PamMessage {
  return { style: pamStyle[style], text: Buffer.from(text) };
}

test('information before the first prompt is the instruction, later it leads the next prompt', () => {
  const { instruction, prompts } = promptsOf([
    message('textInfo', 'one'),
    message('errorMessage', 'two'),
    message('promptEchoOff', 'Password: '),
    message('textInfo', 'three'),
    message('promptEchoOn', 'Code: '),
  ]);
  assert.equal(instruction.toString(), 'one\ntwo\n');
  assert.deepEqual(
    prompts.map(({ text, echo }) => [text.toString(), echo]),
    [
      ['Password: ', false],
      ['three\nCode: ', true],
    ],
  );
});

test('messages without a prompt are all instruction', () => {
  const { instruction, prompts } = promptsOf([message('errorMessage', 'Account expired')]);
  assert.equal(instruction.toString(), 'Account expired\n');
  assert.equal(prompts.length, 0);
});

/** The two members that a conversation uses, as a leader would. */
function fakeLeader() {
  const sent: { answers: string[]; abort: boolean }[] = [];
  const leader = {
    onPrompt: (_messages: readonly PamMessage[]) => {},
    answer: (answers: readonly Buffer[], abort = false) => {
      sent.push({ answers: answers.map(String), abort });
    },
  };
  return { leader: leader as unknown as LeaderClient, sent };
}

test('a wrong number of answers aborts the conversation', async () => {
  const { leader, sent } = fakeLeader();
  const result = Promise.withResolvers<string>();
  const conversation = new Conversation(leader, () => result.promise);
  leader.onPrompt([message('promptEchoOff', 'a'), message('promptEchoOn', 'b')]);
  assert.equal((await conversation.next()).is, 'prompts');
  assert.equal(conversation.answer([Buffer.from('only one')]), false);
  assert.deepEqual(sent, [{ answers: [], abort: true }]);
  result.resolve('failed');
  assert.deepEqual(await conversation.next(), { is: 'result', result: 'failed' });
});

test('answers are erased once they have gone', () => {
  const { leader, sent } = fakeLeader();
  const conversation = new Conversation(leader, () => new Promise<string>(() => {}));
  leader.onPrompt([message('promptEchoOff', 'a')]);
  const secret = Buffer.from('secret');
  assert.equal(conversation.answer([secret]), true);
  assert.deepEqual(sent, [{ answers: ['secret'], abort: false }]);
  assert.equal(
    secret.every((byte) => byte === 0),
    true,
  );
});
