/**
 * Paths of the fields that `check` never looks at. The compiled schemas of Kubernetes say nothing of fields that they do not know: a
 * misspelt one is noticed by this.
 */
export function unreadFields<T extends object>(value: T, check: (observed: T) => void): readonly string[] {
  const unread = new Set<string>()
  const observe = (inner: object, path: string): object => {
    const wrapped = new Map<string, unknown>()
    for (const [name, field] of Object.entries(inner)) {
      const place = `${path}/${name}`
      unread.add(place)
      wrapped.set(name, typeof field === 'object' && field !== null ? observe(field as object, place) : field)
    }
    return new Proxy(inner, {
      get: (target, name, receiver) => {
        if (typeof name !== 'string' || !wrapped.has(name)) return Reflect.get(target, name, receiver) as unknown
        unread.delete(`${path}/${name}`)
        return wrapped.get(name)
      },
    })
  }
  check(observe(value, '') as T)
  return [...unread]
}
