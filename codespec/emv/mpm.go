// Package emv reads and writes the two EMVCo QR codes: merchant-presented
// (MPM, text) and consumer-presented (CPM, BER-TLV in Base64).
//
// It judges on two levels. The wire - objects, order, uniqueness, CRC - is an
// error. Everything else that the specification asks of a generator is a
// finding, because four of ten codes in the field break some rule and still
// have to be paid; what clearing needs is refused later, by scheme profile.
package emv

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tongma/tongma/codespec/tlv"
)

// Reasons of wire errors. They are a closed list, safe to log.
const (
	ReasonFirstObject  = "first-object"   // MPM does not start with 00, CPM not with 85
	ReasonBadID        = "bad-id"         // an ID is not two digits
	ReasonBadLength    = "bad-length"     // a length is malformed
	ReasonTruncated    = "truncated"      // a value passes the end
	ReasonDuplicate    = "duplicate-id"   // an ID stands twice at the root
	ReasonCRCMissing   = "crc-missing"    // no object 63
	ReasonCRCNotLast   = "crc-not-last"   // something follows object 63
	ReasonCRCLength    = "crc-length"     // object 63 is not four characters
	ReasonCRCMismatch  = "crc-mismatch"   // object 63 is not the CRC of what stands before it
	ReasonNotBase64    = "not-base64"     // CPM text is not canonical Base64 with padding
	ReasonBadTag       = "bad-tag"        // a BER tag is malformed
	ReasonBadFormat    = "bad-format"     // the payload format indicator is not a known one
	ReasonNoApp        = "no-application" // CPM has no application template 61
	ReasonTooLong      = "too-long"       // the code is longer than a symbol can hold
	ReasonUnwritable   = "unwritable"     // a value that the notation cannot carry
	ReasonNotCompliant = "not-compliant"  // a builder was asked for a code that breaks the specification
)

// WireError says why a code cannot be read, and where. The text is safe to
// log: it holds no part of the code.
type WireError struct {
	Notation string // "emv" or "cpm"
	Reason   string
	Path     string // "62.05", "" for the whole code
	Offset   int    // characters for MPM, bytes of the decoded BER for CPM, -1 unknown
	Message  string
}

// Error reads like "emv: 62.05 at char 71: length 99 passes the end".
func (e *WireError) Error() string {
	unit := "char"
	if e.Notation == "cpm" {
		unit = "byte"
	}
	switch {
	case e.Path != "" && e.Offset >= 0:
		return fmt.Sprintf("%s: %s at %s %d: %s", e.Notation, e.Path, unit, e.Offset, e.Message)
	case e.Offset >= 0:
		return fmt.Sprintf("%s: at %s %d: %s", e.Notation, unit, e.Offset, e.Message)
	case e.Path != "":
		return fmt.Sprintf("%s: %s: %s", e.Notation, e.Path, e.Message)
	default:
		return fmt.Sprintf("%s: %s", e.Notation, e.Message)
	}
}

// Finding is something that a specification or a scheme's profile forbids and
// that does not stop the code from being read. Kind is stable and names the
// object where several may break the same rule ("too-long-59"); Message is for
// people and holds no part of the code.
type Finding struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// Template is one merchant account (02-51) or one unreserved template (80-99).
// A primitive account (02-25) has only a Value. A template that is not TLV, or
// has no GUID, is an opaque token: real codes of Yape, LankaQR and DuitNow are
// made so.
type Template struct {
	ID      string
	Value   string       // the whole value as carried
	GUID    string       // sub-object 00
	HasGUID bool         // false: treat Value as an opaque token
	IsTLV   bool         // the value reads as objects to its end
	Sub     []tlv.Object // its objects, 00 included
	Offset  int          // character offset of the ID in the code
}

// Field returns the sub-object with the given ID.
func (t *Template) Field(id string) (string, bool) { return tlv.Find(t.Sub, id) }

// MPM is a merchant-presented code that passed the wire level. Objects is what
// is written back by Encode; the other fields are views of it. It must not be
// changed after parsing.
type MPM struct {
	Objects    []tlv.Object // the root, in carried order, CRC included
	Accounts   []Template   // 02-51, in carried order
	Unreserved []Template   // 80-99, in carried order
	Additional []tlv.Object // objects of 62
	Language   []tlv.Object // objects of 64

	size  int            // characters in the whole code
	utf8  bool           // the text is valid UTF-8
	lower bool           // the CRC has lower-case letters
	at    [100]uint8     // root index + 1 by ID
	first [20]tlv.Object // first home of the root objects, to spare an allocation
}

// Root returns the value of a root object.
func (m *MPM) Root(id string) (string, bool) {
	if len(id) != 2 || id[0]-'0' > 9 || id[1]-'0' > 9 {
		return "", false
	}
	i := m.at[int(id[0]-'0')*10+int(id[1]-'0')]
	if i == 0 {
		return "", false
	}
	return m.Objects[i-1].Value, true
}

// Get returns the value of a root object, "" if it is absent.
func (m *MPM) Get(id string) string {
	v, _ := m.Root(id)
	return v
}

// Has reports whether a root object is present.
func (m *MPM) Has(id string) bool {
	_, ok := m.Root(id)
	return ok
}

// Dynamic reports whether the code is made for one payment (01 ends in 2).
// A code without 01 is static.
func (m *MPM) Dynamic() bool {
	v := m.Get("01")
	return len(v) == 2 && v[1] == '2'
}

// MCC is the merchant category code (52), "" if absent.
func (m *MPM) MCC() string { return m.Get("52") }

// Currency is the ISO 4217 number as carried (53), "" if absent.
func (m *MPM) Currency() string { return m.Get("53") }

// Amount is the decimal amount as carried (54), "" if the payer has to type it.
func (m *MPM) Amount() string { return m.Get("54") }

// Country is the ISO 3166-1 alpha-2 code as carried (58), "" if absent.
func (m *MPM) Country() string { return m.Get("58") }

// Name is the merchant's name (59), "" if absent.
func (m *MPM) Name() string { return m.Get("59") }

// City is the merchant's city (60), "" if absent.
func (m *MPM) City() string { return m.Get("60") }

// Data returns a field of the additional data template (62).
func (m *MPM) Data(id string) (string, bool) { return tlv.Find(m.Additional, id) }

// Account returns the first account with the given root ID.
func (m *MPM) Account(id string) (*Template, bool) {
	for i := range m.Accounts {
		if m.Accounts[i].ID == id {
			return &m.Accounts[i], true
		}
	}
	return nil, false
}

// ParseMPM reads a merchant-presented code. It rejects malformed objects, a
// root that does not start with 00, a root ID twice, a CRC that is missing, not
// last, not four characters or wrong, and templates 62 and 64 that are not TLV
// (EMVCo MPM 4.1, 4.7.3). The error is a *WireError. When every object could be
// read and only the CRC is wrong, or an ID stands twice, the code as read is
// returned with the error, to be shown and never to be paid.
func ParseMPM(text string) (*MPM, error) {
	m := &MPM{}
	all, err := tlv.AppendAll(m.first[:0], text, 0)
	m.Objects = all
	if len(all) > 0 && all[0].ID != "00" {
		return nil, wire(ReasonFirstObject, all[0].ID, 0, "first object is not 00")
	}
	if err != nil {
		return nil, fromTLV(err, "")
	}
	if len(all) == 0 {
		return nil, wire(ReasonFirstObject, "", 0, "code is empty")
	}
	dup := m.index()
	if err := m.templates(); err != nil {
		return nil, err
	}
	if dup != nil {
		return m, dup
	}
	return m, m.checkCRC(text)
}

// index fills the root table and reports the first ID that stands twice.
func (m *MPM) index() error {
	var dup error
	for i := range m.Objects {
		o := &m.Objects[i]
		n := int(o.ID[0]-'0')*10 + int(o.ID[1]-'0')
		if m.at[n] != 0 {
			if dup == nil {
				dup = wire(ReasonDuplicate, o.ID, o.Offset, "stands twice at the root")
			}
			continue
		}
		m.at[n] = uint8(min(i+1, 255))
	}
	return dup
}

// templates opens the accounts, 62, 64 and the unreserved templates. Their
// objects are counted first, so that all of them find room in one allocation.
func (m *MPM) templates() error {
	accounts, unreserved, inner := 0, 0, 0
	for i := range m.Objects {
		o := &m.Objects[i]
		switch class(o.ID) {
		case classPrimitive:
			accounts++
			continue
		case classAccount:
			accounts++
		case classUnreserved:
			unreserved++
		default:
			if o.ID != "62" && o.ID != "64" {
				continue
			}
		}
		inner += tlv.Count(o.Value)
	}
	arena := make([]tlv.Object, 0, inner)
	views := make([]Template, 0, accounts+unreserved)
	for _, want := range [2]int{classAccount, classUnreserved} {
		for i := range m.Objects {
			c := class(m.Objects[i].ID)
			if c == want || want == classAccount && c == classPrimitive {
				var t Template
				t, arena = open(arena, &m.Objects[i], c)
				views = append(views, t)
			}
		}
	}
	m.Accounts, m.Unreserved = views[:accounts:accounts], views[accounts:]
	var err error
	if m.Additional, arena, err = m.nested(arena, "62"); err != nil {
		return err
	}
	m.Language, _, err = m.nested(arena, "64")
	return err
}

func open(arena []tlv.Object, o *tlv.Object, c int) (Template, []tlv.Object) {
	t := Template{ID: o.ID, Value: o.Value, Offset: o.Offset}
	if c == classPrimitive {
		return t, arena
	}
	start := len(arena)
	all, err := tlv.AppendAll(arena, o.Value, o.ValueOffset())
	if err != nil {
		return t, arena // what was read of it is written over
	}
	t.IsTLV = true
	t.Sub = all[start:len(all):len(all)]
	t.GUID, t.HasGUID = tlv.Find(t.Sub, "00")
	return t, all
}

func (m *MPM) nested(arena []tlv.Object, id string) (sub, rest []tlv.Object, err error) {
	i := m.at[int(id[0]-'0')*10+int(id[1]-'0')]
	if i == 0 {
		return nil, arena, nil
	}
	o := &m.Objects[i-1]
	start := len(arena)
	all, err := tlv.AppendAll(arena, o.Value, o.ValueOffset())
	if err != nil {
		return nil, arena, fromTLV(err, id)
	}
	return all[start:len(all):len(all)], all, nil
}

func (m *MPM) checkCRC(text string) error {
	last := &m.Objects[len(m.Objects)-1]
	i := m.at[63]
	if i == 0 {
		return wire(ReasonCRCMissing, "63", -1, "no CRC")
	}
	carried := &m.Objects[i-1]
	if carried != last {
		return wire(ReasonCRCNotLast, "63", carried.Offset, "is not the last object")
	}
	m.size = carried.ValueOffset() + utf8.RuneCountInString(carried.Value)
	m.utf8 = utf8.ValidString(text)
	if utf8.RuneCountInString(carried.Value) != 4 {
		return wire(ReasonCRCLength, "63", carried.Offset, "is not four characters")
	}
	value, lower, ok := parseCRC(carried.Value)
	m.lower = lower
	if !ok || value != CRC(text[:len(text)-len(carried.Value)]) {
		return wire(ReasonCRCMismatch, "63", carried.Offset, "CRC does not match")
	}
	return nil
}

// Encode writes the code exactly as it was read or built.
func (m *MPM) Encode() (string, error) {
	s, err := tlv.Format(m.Objects)
	if err != nil {
		return "", fromTLV(err, "")
	}
	return s, nil
}

const (
	classOther = iota
	classPrimitive
	classAccount
	classUnreserved
)

// class sorts root IDs (EMVCo MPM 4.7.6, 4.7.11).
func class(id string) int {
	switch n := int(id[0]-'0')*10 + int(id[1]-'0'); {
	case n >= 2 && n <= 25:
		return classPrimitive
	case n >= 26 && n <= 51:
		return classAccount
	case n >= 80:
		return classUnreserved
	}
	return classOther
}

func wire(reason, path string, offset int, message string) *WireError {
	return &WireError{Notation: "emv", Reason: reason, Path: path, Offset: offset, Message: message}
}

// fromTLV turns a walker's error into one with a path.
func fromTLV(err error, parent string) error {
	var t *tlv.Error
	if !errors.As(err, &t) {
		return err
	}
	path := t.ID
	if parent != "" {
		path = parent
		if t.ID != "" {
			path += "." + t.ID
		}
	}
	reason := t.Reason
	if reason == tlv.ReasonTooLong {
		reason = ReasonUnwritable
	}
	return wire(reason, path, t.Offset, t.Error())
}
