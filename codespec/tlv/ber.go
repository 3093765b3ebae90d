package tlv

import "fmt"

// Tag is a BER tag as its bytes read big-endian: 0x61, 0x9F26, 0xDF8101.
type Tag uint32

// String writes the tag as upper-case hex.
func (t Tag) String() string { return fmt.Sprintf("%02X", uint32(t)) }

// Constructed reports whether the tag says that its value is BER-TLV itself.
func (t Tag) Constructed() bool {
	first := t
	for first > 0xFF {
		first >>= 8
	}
	return first&0x20 != 0
}

// Node is one BER-TLV data object. Offset counts bytes from the start of what
// was parsed to the first byte of the tag.
type Node struct {
	Tag    Tag
	Value  []byte
	Offset int

	// LengthForm is how many bytes the length field takes: 0 means the shortest
	// form. It is kept so that a code is written back exactly as it was read.
	LengthForm uint8
}

// ValueOffset is where the value starts, in bytes from the start of what was
// parsed.
func (n Node) ValueOffset() int {
	size := 1
	for t := n.Tag >> 8; t != 0; t >>= 8 {
		size++
	}
	return n.Offset + size + n.lengthBytes()
}

func (n Node) lengthBytes() int { return max(int(n.LengthForm), lengthSize(len(n.Value))) }

// ParseBER reads all of data as a sequence of objects, without looking into
// constructed values. Lengths may take the short form or one to three bytes of
// the long form; the indefinite form is refused. On error it returns the
// objects read before it.
func ParseBER(data []byte, offset int) ([]Node, error) {
	var nodes []Node
	for i := 0; i < len(data); {
		n, next, err := readNode(data, i)
		if err != nil {
			err.Offset += offset
			return nodes, err
		}
		n.Offset += offset
		nodes = append(nodes, n)
		i = next
	}
	return nodes, nil
}

func readNode(data []byte, at int) (Node, int, *Error) {
	tag, i := readTag(data, at)
	if i < 0 {
		return Node{}, 0, &Error{Reason: ReasonBadTag, Offset: at, Length: -1}
	}
	length, form, ok := readLength(data[i:])
	if !ok {
		return Node{}, 0, &Error{Reason: ReasonBadLength, ID: tag.String(), Offset: at, Length: -1}
	}
	start := i + int(form)
	if length > len(data)-start {
		return Node{}, 0, &Error{Reason: ReasonTruncated, ID: tag.String(), Offset: at, Length: length}
	}
	n := Node{Tag: tag, Value: data[start : start+length : start+length], Offset: at, LengthForm: form}
	if int(form) == lengthSize(length) {
		n.LengthForm = 0
	}
	return n, start + length, nil
}

// readTag returns the tag at i and the index after it, or -1. The first byte
// may not be zero: padding between objects has no place in a barcode.
func readTag(data []byte, i int) (Tag, int) {
	if data[i] == 0 {
		return 0, -1
	}
	tag := Tag(data[i])
	more := data[i]&0x1F == 0x1F
	for i++; more; i++ {
		if i >= len(data) || tag > 0xFFFFFF {
			return 0, -1
		}
		tag = tag<<8 | Tag(data[i])
		more = data[i]&0x80 != 0
	}
	return tag, i
}

func readLength(data []byte) (length int, form uint8, ok bool) {
	if len(data) == 0 {
		return 0, 0, false
	}
	if data[0] < 0x80 {
		return int(data[0]), 1, true
	}
	n := int(data[0] & 0x7F)
	if n == 0 || n > 3 || len(data) < 1+n {
		return 0, 0, false
	}
	for _, b := range data[1 : 1+n] {
		length = length<<8 | int(b)
	}
	return length, uint8(1 + n), true
}

// lengthSize is the size of the shortest length field for n.
func lengthSize(n int) int {
	switch {
	case n < 0x80:
		return 1
	case n <= 0xFF:
		return 2
	case n <= 0xFFFF:
		return 3
	default:
		return 4
	}
}

// AppendBER writes n. The length field takes LengthForm bytes if that is
// enough for the value, else the shortest form.
func AppendBER(dst []byte, n Node) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		if n.Tag>>shift != 0 {
			dst = append(dst, byte(n.Tag>>shift))
		}
	}
	form := n.lengthBytes()
	if form == 1 {
		dst = append(dst, byte(len(n.Value)))
	} else {
		dst = append(dst, 0x80|byte(form-1))
		for shift := (form - 2) * 8; shift >= 0; shift -= 8 {
			dst = append(dst, byte(len(n.Value)>>shift))
		}
	}
	return append(dst, n.Value...)
}

// FormatBER writes nodes one after another.
func FormatBER(nodes []Node) []byte {
	var dst []byte
	for _, n := range nodes {
		dst = AppendBER(dst, n)
	}
	return dst
}

// FindBER returns the value of the first object with the given tag.
func FindBER(nodes []Node, tag Tag) ([]byte, bool) {
	for i := range nodes {
		if nodes[i].Tag == tag {
			return nodes[i].Value, true
		}
	}
	return nil, false
}
