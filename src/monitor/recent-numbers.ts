/**
 * Numbers of connections that a worker held a moment ago: a request that crosses the end of its
 * connection is no offence. Bounded; the oldest are forgotten. Runs in: monitor.
 */
const maxRemembered = 4096;

export class RecentNumbers {
  readonly #numbers = new Set<number>();

  add(number: number): void {
    this.#numbers.add(number);
    const [oldest] = this.#numbers;
    if (this.#numbers.size > maxRemembered && oldest !== undefined) {
      this.#numbers.delete(oldest);
    }
  }

  has(number: number): boolean {
    return this.#numbers.has(number);
  }
}
