package iso8583

import (
	"bytes"
	"strconv"

	"github.com/tongma/tongma"
)

// class is what a field's bytes may be.
type class uint8

const (
	classN   class = iota // digits
	classAN               // letters, digits, and the space that pads them
	classANS              // printable ASCII
	classXN               // C or D, then digits
	classB                // any byte
)

var classNames = [...]string{"n", "an", "ans", "x+n", "b"}

// String returns the class as ISO 8583 writes it.
func (c class) String() string { return classNames[c] }

// classSet has, for each byte, one bit for each class that admits it. The bit of
// classXN stands for its digits; its sign is checked apart.
var classSet = func() (set [256]uint8) {
	for i := range set {
		set[i] = 1 << classB
		digit := i >= '0' && i <= '9'
		letter := i >= 'A' && i <= 'Z' || i >= 'a' && i <= 'z'
		if digit {
			set[i] |= 1<<classN | 1<<classXN
		}
		if digit || letter || i == ' ' {
			set[i] |= 1 << classAN
		}
		if i >= 0x20 && i <= 0x7e {
			set[i] |= 1 << classANS
		}
	}
	return set
}()

// stray returns the index of the first byte of v that the class does not admit,
// or -1.
func (c class) stray(v []byte) int {
	from := 0
	if c == classXN {
		if len(v) == 0 || (v[0] != 'C' && v[0] != 'D') {
			return 0
		}
		from = 1
	}
	if c == classB {
		return -1
	}
	bit := uint8(1) << c
	for i := from; i < len(v); i++ {
		if classSet[v[i]]&bit == 0 {
			return i
		}
	}
	return -1
}

// encoder writes and reads the characters of one class, one byte each, and
// refuses any other. It is an encoding.Encoder of moov-io/iso8583, and it is the
// place in the table from which the codec takes a field's class.
type encoder struct{ class class }

// Encode returns src itself.
func (e encoder) Encode(src []byte) ([]byte, error) {
	if at := e.class.stray(src); at >= 0 {
		return nil, strayError(e.class, at)
	}
	return src, nil
}

// Decode returns the first length bytes of src: a copy for raw bytes, which moov
// keeps as they are, and src itself for text, which it copies.
func (e encoder) Decode(src []byte, length int) ([]byte, int, error) {
	if length < 0 || length > len(src) {
		return nil, 0, &tongma.Error{Op: "iso8583: decode", Reason: tongma.FieldUnreadable, Detail: "cut short"}
	}
	v := src[:length:length]
	if at := e.class.stray(v); at >= 0 {
		return nil, 0, strayError(e.class, at)
	}
	if e.class == classB {
		v = bytes.Clone(v)
	}
	return v, length, nil
}

func strayError(c class, at int) error {
	return &tongma.Error{Op: "iso8583: content", Reason: tongma.FieldUnreadable,
		Detail: "character " + strconv.Itoa(at) + " is not of class " + c.String()}
}
