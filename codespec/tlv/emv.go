// Package tlv walks the two length-prefixed notations that payment codes use:
// the decimal ID/length/value text of EMVCo merchant codes, and the BER-TLV
// bytes of EMVCo consumer codes. It knows shapes, not meanings.
package tlv

import (
	"fmt"
	"unicode/utf8"
)

// Reasons why a walk stops. They are stable and safe to log.
const (
	ReasonBadID     = "bad-id"     // two digits expected where an ID starts
	ReasonBadLength = "bad-length" // two digits expected where a length starts; in BER, a length form not allowed
	ReasonBadTag    = "bad-tag"    // a BER tag cut off, empty, or longer than four bytes
	ReasonTruncated = "truncated"  // the value passes the end
	ReasonTooLong   = "too-long"   // a value that no length field can state
)

// Error says why and where a walk stopped. Its text holds no value, only the
// ID, the place and the length asked for.
type Error struct {
	Reason string
	ID     string // ID or tag in question, "" if it could not be read
	Offset int    // characters (text) or bytes (BER) from the start of what was walked
	Length int    // length asked for, -1 if it could not be read
}

// Error gives the reason in words.
func (e *Error) Error() string {
	switch {
	case e.Reason == ReasonBadID:
		return "ID is not two digits"
	case e.Reason == ReasonBadLength:
		return "length is malformed"
	case e.Reason == ReasonBadTag:
		return "tag is malformed"
	case e.Reason == ReasonTooLong:
		return fmt.Sprintf("length %d cannot be written", e.Length)
	case e.Length > 999:
		return "length passes the end" // a long one is made of the value's bytes
	default:
		return fmt.Sprintf("length %d passes the end", e.Length)
	}
}

// Object is one data object of EMVCo merchant text: a two-digit ID and a value.
// Offset counts characters from the start of the text that was walked to the
// first digit of the ID.
type Object struct {
	ID     string
	Value  string
	Offset int
}

// ValueOffset is the character offset of the value.
func (o Object) ValueOffset() int { return o.Offset + 4 }

// Reader walks merchant text object by object. Lengths count characters, not
// bytes (EMVCo MPM 4.1). A byte that is not UTF-8 counts as one character.
type Reader struct {
	rest string
	off  int
}

// NewReader starts a walk of text; offset is added to every offset reported.
func NewReader(text string, offset int) Reader { return Reader{rest: text, off: offset} }

// More reports whether anything is left to read.
func (r *Reader) More() bool { return r.rest != "" }

// Next returns the next object, or the reason why there is none.
func (r *Reader) Next() (Object, error) {
	t := r.rest
	if len(t) < 2 || !digit(t[0]) || !digit(t[1]) {
		return Object{}, &Error{Reason: ReasonBadID, Offset: r.off, Length: -1}
	}
	id := t[:2]
	if len(t) < 4 || !digit(t[2]) || !digit(t[3]) {
		return Object{}, &Error{Reason: ReasonBadLength, ID: id, Offset: r.off, Length: -1}
	}
	chars := int(t[2]-'0')*10 + int(t[3]-'0')
	size := prefixSize(t[4:], chars)
	if size < 0 {
		return Object{}, &Error{Reason: ReasonTruncated, ID: id, Offset: r.off, Length: chars}
	}
	o := Object{ID: id, Value: t[4 : 4+size], Offset: r.off}
	r.rest = t[4+size:]
	r.off += 4 + chars
	return o, nil
}

// prefixSize returns how many bytes the first n characters of s take, or -1.
func prefixSize(s string, n int) int {
	if len(s) < n {
		return -1
	}
	i := 0
	for ; n > 0; n-- {
		if i >= len(s) {
			return -1
		}
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return i
}

// AppendAll walks all of text and appends its objects to dst. On error it
// returns what could be read before it.
func AppendAll(dst []Object, text string, offset int) ([]Object, error) {
	r := NewReader(text, offset)
	for r.More() {
		o, err := r.Next()
		if err != nil {
			return dst, err
		}
		dst = append(dst, o)
	}
	return dst, nil
}

// Count returns how many objects text starts with.
func Count(text string) int {
	n := 0
	for len(text) >= 4 && digit(text[2]) && digit(text[3]) {
		size := prefixSize(text[4:], int(text[2]-'0')*10+int(text[3]-'0'))
		if size < 0 {
			break
		}
		text = text[4+size:]
		n++
	}
	return n
}

// Parse walks all of text.
func Parse(text string) ([]Object, error) { return AppendAll(nil, text, 0) }

// Find returns the value of the first object with the given ID.
func Find(objects []Object, id string) (string, bool) {
	for i := range objects {
		if objects[i].ID == id {
			return objects[i].Value, true
		}
	}
	return "", false
}

// Append writes one object: ID, two-digit character count, value. It fails if
// the ID is not two digits or the value has more than 99 characters.
func Append(dst []byte, id, value string) ([]byte, error) {
	if len(id) != 2 || !digit(id[0]) || !digit(id[1]) {
		return dst, &Error{Reason: ReasonBadID, Offset: len(dst), Length: -1}
	}
	n := utf8.RuneCountInString(value)
	if n > 99 {
		return dst, &Error{Reason: ReasonTooLong, ID: id, Offset: len(dst), Length: n}
	}
	dst = append(dst, id[0], id[1], byte('0'+n/10), byte('0'+n%10))
	return append(dst, value...), nil
}

// Format writes objects one after another.
func Format(objects []Object) (string, error) {
	var dst []byte
	var err error
	for _, o := range objects {
		if dst, err = Append(dst, o.ID, o.Value); err != nil {
			return "", err
		}
	}
	return string(dst), nil
}

func digit(c byte) bool { return c-'0' <= 9 }
