/**
 * `login`: user and password, once. Every refusal is the same line; whether it takes the same time is
 * the matter of whoever decides. Pure.
 */
import type { Command, Reply } from '../command.ts';
import { echoOfAnswer } from '../shown-text.ts';

/** As many for every password. */
const stars = '*'.repeat(10);

const over: Reply = { lines: [], then: 'close' };

/** What clients of the first generation send in its place, unless the mode is set, is a digest. */
const digestRefused: Reply = {
  echo: stars,
  lines: [
    'NX> 500 Password cannot be in MD5 when not using the NX password DB.',
    'NX> 500 Please update your NX Client',
    'NX> 999 Bye',
  ],
  then: 'close',
};
const unnamed: Reply = {
  lines: ['NX> 500 ERROR: Username is not in the expected format.', 'NX> 999 Bye'],
  then: 'close',
};
const refused: Reply = {
  echo: stars,
  lines: ['NX> 404 ERROR: wrong password or login', 'NX> 999 Bye'],
  then: 'close',
};

export const login: Command = {
  verb: 'login',
  phases: ['login'],
  takesParameters: false,
  async run(context) {
    const user = await context.askLogin({ promptText: 'NX> 101 User: ' });
    if (user === undefined) {
      return over;
    }
    const name = user.toString('utf8');
    if (name.trim() === '') {
      return unnamed;
    }
    const password = await context.askLogin({
      promptText: 'NX> 102 Password: ',
      echo: echoOfAnswer(name),
    });
    if (password === undefined) {
      return over;
    }
    if (password.length === 0 && !context.hasPasswordMode) {
      return digestRefused;
    }
    const welcome = await context.login(user, password);
    return welcome === undefined ? refused : { echo: stars, lines: [welcome], then: 'prompt' };
  },
};
