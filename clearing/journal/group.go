package journal

import "encoding/binary"

// Group is the entries of a batch to be. Each is put where it will be in the message,
// and can be hashed long before the disk is free.
type Group struct {
	message []byte // room for the header, then each entry behind its length
	entries [][]byte
	count   int
	tree    tree // of the entries in front of hashed
	hashed  int
}

// Add adds an entry by its canonical bytes. The caller keeps to Full.
func (g *Group) Add(entry interface{ AppendTo([]byte) []byte }) {
	if len(g.message) == 0 {
		g.message = append(g.message, make([]byte, headerSize)...)
		g.hashed = headerSize
	}
	at := len(g.message) + lengthSize
	g.message = entry.AppendTo(append(g.message, make([]byte, lengthSize)...))
	binary.BigEndian.PutUint32(g.message[at-lengthSize:], uint32(len(g.message)-at))
	g.count++
}

// Len returns how many entries there are.
func (g *Group) Len() int { return g.count }

// Full tells whether another entry of up to room bytes might not fit.
func (g *Group) Full(room int) bool {
	return g.count >= MaxEntries || len(g.message) >= MaxMessage-(MaxEntries-g.count)*lengthSize-room
}

// Room returns how many more entries of up to size bytes each are sure to fit.
func (g *Group) Room(size int) int {
	used := max(0, len(g.message)-headerSize-g.count*lengthSize)
	return min(MaxEntries-g.count, (MaxBytes-used)/size)
}

// Reset empties the group, to be used again.
func (g *Group) Reset() {
	clear(g.entries)
	g.message, g.entries, g.count, g.tree.leaves = g.message[:0], g.entries[:0], 0, 0
}

// Hash hashes up to so many entries that are not yet, and tells whether it found as
// many. What it does not do is done when the group is committed.
func (g *Group) Hash(most int) bool {
	for ; most > 0 && g.hashed < len(g.message); most-- {
		var entry []byte
		entry, g.hashed = g.entryAt(g.hashed)
		g.tree.add(entry)
	}
	return most == 0
}

// all returns each entry. They are valid until the next Add or Reset.
func (g *Group) all() [][]byte {
	g.entries = g.entries[:0]
	for at := headerSize; at < len(g.message); {
		var entry []byte
		entry, at = g.entryAt(at)
		g.entries = append(g.entries, entry)
	}
	return g.entries
}

func (g *Group) entryAt(at int) (entry []byte, end int) {
	end = at + lengthSize + int(binary.BigEndian.Uint32(g.message[at:]))
	return g.message[at+lengthSize : end], end
}
