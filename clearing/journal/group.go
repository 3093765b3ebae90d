package journal

import "encoding/binary"

// Group is the entries of a batch to be. Each is put where it will be in the message.
type Group struct {
	message []byte // room for the header, then each entry behind its length
	count   int
	entries [][]byte
}

// Add adds an entry by its canonical bytes. The caller keeps to Full.
func (g *Group) Add(entry interface{ AppendTo([]byte) []byte }) {
	if len(g.message) == 0 {
		g.message = append(g.message, make([]byte, headerSize)...)
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
	return g.Len() >= MaxEntries || len(g.message) >= MaxMessage-(MaxEntries-g.Len())*lengthSize-room
}

// Reset empties the group, to be used again.
func (g *Group) Reset() {
	clear(g.entries)
	g.message, g.entries, g.count = g.message[:0], g.entries[:0], 0
}

// all returns each entry. They are valid until the next Add or Reset.
func (g *Group) all() [][]byte {
	g.entries = g.entries[:0]
	for at := headerSize; at < len(g.message); {
		end := at + lengthSize + int(binary.BigEndian.Uint32(g.message[at:]))
		g.entries = append(g.entries, g.message[at+lengthSize:end])
		at = end
	}
	return g.entries
}
