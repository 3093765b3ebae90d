package iso8583

import (
	"math/bits"
	"strconv"

	"github.com/tongma/tongma"
)

// Sizes of a message, in bytes, without the length in front of it.
const (
	MinMessage = 12   // message type and one bitmap
	MaxMessage = 9999 // what the dialect allows
)

// Message is one ISO 8583 message of the house dialect. The zero Message is
// empty and ready for use, and one Message may be used again and again. It is
// not safe for use by several goroutines at once.
type Message struct {
	mti   [4]byte
	have  [2]uint64 // fields that are present, as in the bitmaps
	value [maxField + 1][]byte
	store []byte // what SetText copies into; grows, so that old values stay where they are
}

// Reset empties the message and gives it a type, which must be four digits.
func (m *Message) Reset(mti string) {
	m.have = [2]uint64{}
	m.store = m.store[:0]
	copy(m.mti[:], mti)
}

// MTI returns the message type.
func (m *Message) MTI() string { return string(m.mti[:]) }

// Has tells whether the field is present.
func (m *Message) Has(id int) bool {
	return id > 1 && id <= maxField && m.have[(id-1)/64]&bitOf(id) != 0
}

// Get returns the value of a field, or nil. After Unpack it is part of the
// buffer that was unpacked: valid as long as that buffer is not used again.
func (m *Message) Get(id int) []byte {
	if !m.Has(id) {
		return nil
	}
	return m.value[id]
}

// Text returns the value of a field as a string of its own.
func (m *Message) Text(id int) string { return string(m.Get(id)) }

// Set gives a field a value, without copying it. Append checks it against the
// dialect. A number that no bitmap can name is ignored.
func (m *Message) Set(id int, value []byte) {
	if id > 1 && id <= maxField {
		m.value[id] = value
		m.have[(id-1)/64] |= bitOf(id)
	}
}

// SetText gives a field a copy of value.
func (m *Message) SetText(id int, value string) {
	at := len(m.store)
	m.store = append(m.store, value...)
	m.Set(id, m.store[at:len(m.store):len(m.store)])
}

// Unset takes a field out.
func (m *Message) Unset(id int) {
	if m.Has(id) {
		m.have[(id-1)/64] &^= bitOf(id)
	}
}

// fail builds the codec's error: the field, and the byte of the message at which
// it went wrong.
func fail(op string, reason tongma.Reason, id, offset int, detail string) error {
	name := "DE" + strconv.Itoa(id)
	if id == 0 {
		name = "MTI"
	}
	return &tongma.Error{Op: "iso8583: " + op, Reason: reason, Field: name, Offset: offset, Detail: detail}
}

// Unpack reads one whole message: type, bitmaps, fields, and nothing behind
// them. The values alias msg. A second bitmap that names nothing is accepted.
//
// It refuses, with the field and the byte offset: a message cut short at any
// byte, a field that the dialect does not have (FieldUnknown), a length out of
// bounds or a byte of the wrong class (FieldUnreadable), and bytes behind the
// last field (TrailingBytes). What had been read up to there stays in m, so that
// a refusal can be addressed.
func (m *Message) Unpack(msg []byte) error { return m.unpack(house, msg) }

func (m *Message) unpack(t *table, msg []byte) error {
	m.Reset("")
	m.mti = [4]byte{}
	if len(msg) < 4 || classN.stray(msg[:4]) >= 0 {
		return fail("unpack", tongma.FieldUnreadable, 0, 0, "want four digits")
	}
	copy(m.mti[:], msg)
	want, pos, err := readBitmaps(t, msg)
	if err != nil {
		return err
	}
	for half := range want {
		for rest := want[half]; rest != 0; {
			lead := bits.LeadingZeros64(rest)
			rest &^= 1 << (63 - lead)
			id := half*64 + lead + 1
			r := &t.rows[id]
			size := int(r.max)
			if r.digits != 0 {
				if size = readLength(msg[pos:], int(r.digits)); size <= 0 || size > int(r.max) {
					return fail("unpack", tongma.FieldUnreadable, id, pos, "length out of bounds")
				}
				pos += int(r.digits)
			}
			if size > len(msg)-pos {
				return fail("unpack", tongma.FieldUnreadable, id, pos, "cut short")
			}
			v := msg[pos : pos+size : pos+size]
			if at := r.class.stray(v); at >= 0 {
				return fail("unpack", tongma.FieldUnreadable, id, pos+at, "not of class "+r.class.String())
			}
			m.value[id] = v
			m.have[half] |= 1 << (63 - lead)
			pos += size
		}
	}
	if pos != len(msg) {
		return &tongma.Error{Op: "iso8583: unpack", Reason: tongma.TrailingBytes, Offset: pos}
	}
	return nil
}

// readBitmaps returns the fields that follow, without DE1, and where they start.
func readBitmaps(t *table, msg []byte) (want [2]uint64, pos int, err error) {
	const first = 1 << 63 // DE1 in the first bitmap, DE65 in the second: another bitmap follows
	if len(msg) < MinMessage {
		return want, 0, fail("unpack", tongma.FieldUnreadable, 1, 4, "cut short")
	}
	want[0], pos = bigEndian(msg[4:]), 12
	if want[0]&first != 0 {
		if len(msg) < 20 {
			return want, 0, fail("unpack", tongma.FieldUnreadable, 1, 12, "second bitmap cut short")
		}
		want[0] &^= first
		want[1], pos = bigEndian(msg[12:]), 20
	}
	for half, w := range want {
		if unknown := w &^ t.known[half]; unknown != 0 {
			lead := bits.LeadingZeros64(unknown)
			return want, 0, fail("unpack", tongma.FieldUnknown, half*64+lead+1, 4+half*8+lead/8, "not in the dialect")
		}
	}
	return want, pos, nil
}

func bigEndian(p []byte) (w uint64) {
	for _, c := range p[:8] {
		w = w<<8 | uint64(c)
	}
	return w
}

// readLength reads a decimal length of the given number of digits, or returns -1.
func readLength(p []byte, digits int) int {
	if len(p) < digits {
		return -1
	}
	size := 0
	for _, c := range p[:digits] {
		if c < '0' || c > '9' {
			return -1
		}
		size = size*10 + int(c-'0')
	}
	return size
}

// Append appends the packed message to dst: one bitmap if no field above 64 is
// present, else two. It refuses a field that the dialect does not have and a
// value of the wrong length or class; dst is then returned as it was.
func (m *Message) Append(dst []byte) ([]byte, error) { return m.append(house, dst) }

func (m *Message) append(t *table, dst []byte) ([]byte, error) {
	start := len(dst)
	if classN.stray(m.mti[:]) >= 0 {
		return dst, fail("pack", tongma.FieldInvalid, 0, 0, "want four digits")
	}
	out := append(dst, m.mti[:]...)
	if m.have[1] != 0 {
		out = appendBig(appendBig(out, m.have[0]|1<<63), m.have[1])
	} else {
		out = appendBig(out, m.have[0])
	}
	for half := range m.have {
		for rest := m.have[half]; rest != 0; {
			lead := bits.LeadingZeros64(rest)
			rest &^= 1 << (63 - lead)
			id := half*64 + lead + 1
			r, v := &t.rows[id], m.value[id]
			if len(v) == 0 || len(v) > int(r.max) || (r.digits == 0 && len(v) != int(r.max)) {
				return dst[:start], fail("pack", tongma.FieldInvalid, id, len(out)-start, "length out of bounds")
			}
			if at := r.class.stray(v); at >= 0 {
				return dst[:start], fail("pack", tongma.FieldInvalid, id, len(out)-start, "not of class "+r.class.String())
			}
			out = appendLength(out, len(v), r.digits)
			out = append(out, v...)
		}
	}
	if len(out)-start > MaxMessage {
		return dst[:start], fail("pack", tongma.MessageTooLong, 0, 0, "")
	}
	return out, nil
}

func appendBig(dst []byte, w uint64) []byte {
	return append(dst, byte(w>>56), byte(w>>48), byte(w>>40), byte(w>>32), byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
}

// appendLength appends size in as many digits, none for a fixed field.
func appendLength(dst []byte, size int, digits uint8) []byte {
	switch digits {
	case 2:
		return append(dst, byte('0'+size/10), byte('0'+size%10))
	case 3:
		return append(dst, byte('0'+size/100), byte('0'+size/10%10), byte('0'+size%10))
	}
	return dst
}
