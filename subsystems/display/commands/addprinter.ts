/** `addprinter`: printers of the client are not offered; clients take an error badly here. Pure. */
import { type Command, prompt } from '../command.ts';

export const addprinter: Command = {
  verb: 'addprinter',
  phases: ['ready', 'session'],
  takesParameters: true,
  run: () => prompt([]),
};
