package emv

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/tongma/tongma/codespec/tlv"
)

// Payload format indicators of consumer-presented codes.
const (
	FormatCPV01 = "CPV01" // EMVCo
	FormatJPQR1 = "JPQR1" // JPQR: the same envelope, fields of its own
)

// Tags of consumer-presented codes (EMVCo CPM 4.2-4.5).
const (
	TagFormat            tlv.Tag = 0x85
	TagApplication       tlv.Tag = 0x61
	TagCommon            tlv.Tag = 0x62
	TagTransparent       tlv.Tag = 0x63 // inside 61
	TagCommonTransparent tlv.Tag = 0x64 // inside 62
	TagAID               tlv.Tag = 0x4F
	TagLabel             tlv.Tag = 0x50
	TagTrack2            tlv.Tag = 0x57
	TagPAN               tlv.Tag = 0x5A
	TagCardholder        tlv.Tag = 0x5F20
	TagLanguage          tlv.Tag = 0x5F2D
	TagIssuerURL         tlv.Tag = 0x5F50
	TagAppVersion        tlv.Tag = 0x9F08
	TagTokenRequestor    tlv.Tag = 0x9F19
	TagPAR               tlv.Tag = 0x9F24
	TagLast4             tlv.Tag = 0x9F25
	TagCryptogram        tlv.Tag = 0x9F26
	TagIssuerData        tlv.Tag = 0x9F10
)

// MaxCPM bounds the Base64 text of a consumer code. A QR symbol holds at most
// 4,296 alphanumeric characters.
const MaxCPM = 4296

// App is one application template (61). Its nodes keep their order.
type App struct {
	AID         []byte     // 4F, nil if absent
	Nodes       []tlv.Node // everything in the template
	Transparent []tlv.Node // objects of 63, nil if absent or opaque
}

// Label is the application label (50), "" if absent.
func (a *App) Label() string {
	v, _ := tlv.FindBER(a.Nodes, TagLabel)
	return string(v)
}

// CPM is a consumer-presented code that passed the wire level. Nodes is what
// is written back by Encode; the other fields are views of it. All of it is
// secret: it is what the payer pays with.
type CPM struct {
	Format            string     // FormatCPV01 or FormatJPQR1
	Nodes             []tlv.Node // the root
	Apps              []App      // one per 61
	Common            []tlv.Node // objects of 62
	CommonTransparent []tlv.Node // objects of 64

	size int // bytes inside the Base64
}

// strictBase64 refuses unused bits that are not zero.
var strictBase64 = base64.StdEncoding.Strict()

// ParseCPM reads a consumer-presented code (EMVCo CPM 3). It rejects text that
// is not canonical Base64, bytes that are not BER-TLV, a first object other
// than 85, an unknown payload format, and a code without an application
// template. The error is a *WireError; when only the template is missing, the
// code as read is returned with it.
func ParseCPM(text string) (*CPM, error) {
	data, err := decodeBase64(text)
	if err != nil {
		return nil, err
	}
	nodes, err := tlv.ParseBER(data, 0)
	if len(nodes) > 0 && nodes[0].Tag != TagFormat {
		return nil, wireCPM(ReasonFirstObject, nodes[0].Tag.String(), 0, "first object is not 85")
	}
	if err != nil {
		return nil, fromBER(err, "")
	}
	if len(nodes) == 0 {
		return nil, wireCPM(ReasonFirstObject, "", 0, "code is empty")
	}
	c := &CPM{Format: string(nodes[0].Value), Nodes: nodes, size: len(data)}
	if c.Format != FormatCPV01 && c.Format != FormatJPQR1 {
		return nil, wireCPM(ReasonBadFormat, "85", 0, "payload format is neither CPV01 nor JPQR1")
	}
	if err := c.templates(); err != nil {
		return nil, err
	}
	if len(c.Apps) == 0 {
		return c, wireCPM(ReasonNoApp, "61", -1, "no application template")
	}
	return c, nil
}

// decodeBase64 accepts one text per value only: standard alphabet, padding,
// no line breaks, unused bits zero. A second spelling of the same code would
// get round the check for a code used twice.
func decodeBase64(text string) ([]byte, error) {
	if len(text) > MaxCPM {
		return nil, wireCPM(ReasonTooLong, "", -1, "code is longer than a symbol can hold")
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, wireCPM(ReasonNotBase64, "", -1, "not Base64: line break")
	}
	data, err := strictBase64.DecodeString(text)
	if err != nil {
		return nil, wireCPM(ReasonNotBase64, "", -1, "not canonical Base64")
	}
	return data, nil
}

func (c *CPM) templates() error {
	for i := range c.Nodes {
		n := &c.Nodes[i]
		switch n.Tag {
		case TagApplication:
			nodes, err := tlv.ParseBER(n.Value, n.ValueOffset())
			if err != nil {
				return fromBER(err, "61")
			}
			a := App{Nodes: nodes}
			a.AID, _ = tlv.FindBER(nodes, TagAID)
			a.Transparent = opaque(nodes, TagTransparent)
			c.Apps = append(c.Apps, a)
		case TagCommon:
			nodes, err := tlv.ParseBER(n.Value, n.ValueOffset())
			if err != nil {
				return fromBER(err, "62")
			}
			c.Common = append(c.Common, nodes...)
			c.CommonTransparent = opaque(nodes, TagCommonTransparent)
		}
	}
	return nil
}

// opaque opens a transparent template if it can be opened. The specification
// hands it on unread, so what does not read as TLV is no error.
func opaque(nodes []tlv.Node, tag tlv.Tag) []tlv.Node {
	for i := range nodes {
		if nodes[i].Tag == tag {
			if sub, err := tlv.ParseBER(nodes[i].Value, nodes[i].ValueOffset()); err == nil {
				return sub
			}
		}
	}
	return nil
}

// Encode writes the code exactly as it was read or built.
func (c *CPM) Encode() string {
	return base64.StdEncoding.EncodeToString(c.Bytes())
}

// Bytes is the BER-TLV inside the Base64.
func (c *CPM) Bytes() []byte { return tlv.FormatBER(c.Nodes) }

// find looks a primitive up in the applications, first to last, then in the
// common data.
func (c *CPM) find(tag tlv.Tag) ([]byte, bool) {
	for i := range c.Apps {
		if v, ok := tlv.FindBER(c.Apps[i].Nodes, tag); ok {
			return v, true
		}
	}
	return tlv.FindBER(c.Common, tag)
}

// Field returns a primitive of the first application that has it, else of the
// common data.
func (c *CPM) Field(tag tlv.Tag) ([]byte, bool) { return c.find(tag) }

// PAN returns the account number from 5A, else from track 2 (57). It is
// payment card data.
func (c *CPM) PAN() (string, bool) {
	if v, ok := c.find(TagPAN); ok {
		if pan, ok := compactDigits(v); ok {
			return pan, true
		}
	}
	if v, ok := c.find(TagTrack2); ok {
		if pan, _, found := strings.Cut(hexUpper(v), "D"); found && pan != "" && len(pan) <= 19 && allDigits(pan) {
			return pan, true
		}
	}
	return "", false
}

// Last4 returns the last four digits of the account number (9F25).
func (c *CPM) Last4() (string, bool) {
	v, ok := c.find(TagLast4)
	if !ok {
		return "", false
	}
	if len(v) == 4 && allDigits(string(v)) { // DuitNow writes the digits in ASCII
		return string(v), true
	}
	return hexUpper(v), true
}

// compactDigits reads format cn: digits, padded on the right with F, at most
// ten bytes.
func compactDigits(v []byte) (string, bool) {
	s := strings.TrimRight(hexUpper(v), "F")
	return s, len(v) <= 10 && s != "" && allDigits(s)
}

// Findings lists where the code departs from EMVCo CPM.
func (c *CPM) Findings() []Finding {
	var f findings
	for i := range c.Apps {
		switch n := len(c.Apps[i].AID); {
		case c.Apps[i].AID == nil:
			f.add("61", "61-without-4F", "application template has no AID")
		case n < 5 || n > 16:
			f.add("61.4F", "4F-length", "AID is not 5 to 16 bytes")
		}
		c.checkTwice(&f, &c.Apps[i])
	}
	pan, has5A := c.find(TagPAN)
	track2, has57 := c.find(TagTrack2)
	if !has5A && !has57 {
		f.add("", "neither-57-nor-5A", "neither track 2 nor account number")
	}
	if _, ok := compactDigits(pan); has5A && !ok {
		f.add("5A", "5A-not-cn-or-too-long", "account number is not compact digits of at most ten bytes")
	}
	if has57 && len(track2) > 19 {
		f.add("57", "57-too-long", "track 2 is longer than 19 bytes")
	}
	if c.size > 512 {
		f.add("", "payload-too-long", "more than the 512 bytes that a reader must support")
	}
	return f.list
}

// checkTwice reports a primitive that stands twice in an application. The same
// tag in 61 and in 62 is common in the field and left to the profile.
func (c *CPM) checkTwice(f *findings, a *App) {
	for i := range a.Nodes {
		for j := range a.Nodes[:i] {
			if a.Nodes[i].Tag == a.Nodes[j].Tag {
				path := "61." + a.Nodes[i].Tag.String()
				f.add(path, "duplicate-"+path, "tag stands twice in one template")
				break
			}
		}
	}
}

func hexUpper(v []byte) string { return strings.ToUpper(hex.EncodeToString(v)) }

func wireCPM(reason, path string, offset int, message string) *WireError {
	return &WireError{Notation: "cpm", Reason: reason, Path: path, Offset: offset, Message: message}
}

func fromBER(err error, parent string) error {
	var t *tlv.Error
	if !errors.As(err, &t) {
		return err
	}
	path := t.ID
	if len(path) > 4 {
		path = "long-tag" // no tag of the specification has three bytes; these are the value's
	}
	if parent != "" {
		path = strings.TrimSuffix(parent+"."+path, ".")
	}
	return wireCPM(t.Reason, path, t.Offset, t.Error())
}
