/**
 * Maps and sets that a step gets its own copy of without paying for it: both sides share the content until one of them writes. A ceremony of
 * n members takes some 6n messages, and copying what it has heard so far for each would be most of its work.
 */

/** A Map whose copy costs nothing until one of the two is written to. */
export class ForkMap<K, V> implements Map<K, V> {
  #content: Map<K, V>
  #shared: boolean

  constructor(entries: Iterable<readonly [K, V]> = []) {
    this.#content = new Map(entries)
    this.#shared = false
  }

  /** A copy: what is written to either is not seen in the other. */
  fork(): ForkMap<K, V> {
    this.#shared = true
    const copy = new ForkMap<K, V>()
    copy.#content = this.#content
    copy.#shared = true
    return copy
  }

  #own(): Map<K, V> {
    if (this.#shared) this.#content = new Map(this.#content)
    this.#shared = false
    return this.#content
  }

  get size(): number {
    return this.#content.size
  }

  get(key: K): V | undefined {
    return this.#content.get(key)
  }

  has(key: K): boolean {
    return this.#content.has(key)
  }

  set(key: K, value: V): this {
    this.#own().set(key, value)
    return this
  }

  delete(key: K): boolean {
    return this.#content.has(key) && this.#own().delete(key)
  }

  clear(): void {
    this.#content = new Map()
    this.#shared = false
  }

  forEach(callback: (value: V, key: K, map: Map<K, V>) => void): void {
    for (const [key, value] of this.#content) callback(value, key, this)
  }

  keys(): MapIterator<K> {
    return this.#content.keys()
  }

  values(): MapIterator<V> {
    return this.#content.values()
  }

  entries(): MapIterator<[K, V]> {
    return this.#content.entries()
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.#content.entries()
  }

  get [Symbol.toStringTag](): string {
    return 'ForkMap'
  }
}
