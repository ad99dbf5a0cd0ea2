/** The commands of the dialogue; what is not in the table is refused. Pure. */
import type { Command } from '../command.ts';
import { addmount } from './addmount.ts';
import { addprinter } from './addprinter.ts';
import { attachsession } from './attachsession.ts';
import { bye } from './bye.ts';
import { exit } from './exit.ts';
import { listsession } from './listsession.ts';
import { quit } from './quit.ts';
import { restoresession } from './restoresession.ts';
import { startsession } from './startsession.ts';
import { suspend } from './suspend.ts';
import { terminate } from './terminate.ts';

export const displayCommands: readonly Command[] = [
  listsession,
  startsession,
  restoresession,
  attachsession,
  suspend,
  terminate,
  addmount,
  addprinter,
  bye,
  quit,
  exit,
];

/** Commands of the phase before the user is known: wrong, but not unknown, behind it. */
export const loginVerbs: readonly string[] = ['hello', 'set', 'login'];
