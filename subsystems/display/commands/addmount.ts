/** `addmount`: shares of the client are not offered; clients take an error badly here. Pure. */
import { type Command, prompt } from '../command.ts';

export const addmount: Command = {
  verb: 'addmount',
  phases: ['ready', 'session'],
  takesParameters: true,
  run: () => prompt([]),
};
