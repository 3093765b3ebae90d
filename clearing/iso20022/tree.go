package iso20022

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// Bounds of what is read. A message that passes one of them is refused whole.
const (
	MaxBytes    = 8 << 20  // of a message, envelope included
	MaxDepth    = 32       // of elements within each other; the schemas need 16
	MaxElements = 250_000  // of a message
	maxToken    = 64 << 10 // bytes of one tag, text or comment
	maxAttrs    = 16       // of one element
	maxNesting  = 3        // of AppHdr and Document below the root of an envelope
)

// node is one element of a message that was read. Text and elements do not mix
// in the elements that we read.
type node struct {
	name   xml.Name
	attrs  []xml.Attr
	text   []byte
	kids   []*node
	parent *node
	at     int  // byte offset
	mixed  bool // text stands between elements
}

// meter hands a message to the XML decoder and ends it when one token is longer
// than allowed, so that no token is ever collected in memory that is not wanted.
type meter struct {
	data []byte
	left int
}

var errToken = errors.New("token too long")

func (m *meter) ReadByte() (byte, error) {
	if len(m.data) == 0 {
		return 0, io.EOF
	}
	if m.left--; m.left < 0 {
		return 0, errToken
	}
	b := m.data[0]
	m.data = m.data[1:]
	return b, nil
}

func (m *meter) Read(p []byte) (int, error) {
	for i := range p {
		b, err := m.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = b
	}
	return len(p), nil
}

// parse reads a message into a tree, within the bounds. Comments are dropped;
// document types, entities of one's own, processing instructions and encodings
// other than UTF-8 are refused.
func (c *faults) parse(data []byte) *node {
	if len(data) > MaxBytes {
		c.fail(FaultTooLarge, "", 0, strconv.Itoa(MaxBytes)+" bytes")
		return nil
	}
	if !utf8.Valid(data) {
		c.fail(FaultMalformed, "", 0, "not UTF-8")
		return nil
	}
	src := &meter{data: bytes.TrimPrefix(data, []byte("\ufeff"))}
	d := xml.NewDecoder(src)
	t := tree{faults: c}
	for c.err == nil {
		src.left = maxToken
		at := int(d.InputOffset())
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return t.finish(at)
		case errors.Is(err, errToken):
			c.fail(FaultTooLarge, "", at, "one tag or text of "+strconv.Itoa(maxToken)+" bytes")
		case err != nil:
			c.fail(FaultMalformed, "", int(d.InputOffset()), "")
		default:
			t.take(token, at)
		}
	}
	return nil
}

// tree grows by one token at a time.
type tree struct {
	*faults
	root, top *node
	depth     int
	count     int
}

func (t *tree) take(token xml.Token, at int) {
	switch tok := token.(type) {
	case xml.StartElement:
		t.start(tok, at)
	case xml.EndElement:
		t.top, t.depth = t.top.parent, t.depth-1
	case xml.CharData:
		t.chars(tok, at)
	case xml.Directive:
		t.fail(FaultDoctype, "", at, "")
	case xml.ProcInst:
		if tok.Target != "xml" || at > 0 {
			t.fail(FaultDoctype, "", at, "")
		}
	}
}

func (t *tree) start(tok xml.StartElement, at int) {
	t.count++
	t.depth++
	switch {
	case t.depth > MaxDepth:
		t.fail(FaultTooDeep, "", at, strconv.Itoa(MaxDepth)+" elements")
	case t.count > MaxElements:
		t.fail(FaultTooMany, "", at, strconv.Itoa(MaxElements)+" elements")
	case t.top == nil && t.root != nil:
		t.fail(FaultMalformed, "", at, "a second root element")
	case len(tok.Attr) > maxAttrs:
		t.fail(FaultTooMany, "", at, strconv.Itoa(maxAttrs)+" attributes")
	}
	for i, a := range tok.Attr[:min(len(tok.Attr), maxAttrs)] {
		for _, b := range tok.Attr[:i] {
			if a.Name == b.Name {
				t.fail(FaultMalformed, "", at, "an attribute stands twice")
			}
		}
	}
	n := &node{name: tok.Name, attrs: tok.Attr, parent: t.top, at: at}
	if t.top == nil {
		t.root = n
	} else {
		t.top.mixed = t.top.mixed || len(bytes.TrimSpace(t.top.text)) > 0
		t.top.kids = append(t.top.kids, n)
	}
	t.top = n
}

func (t *tree) chars(text xml.CharData, at int) {
	blank := len(bytes.TrimSpace(text)) == 0
	switch {
	case t.top == nil && !blank:
		t.fail(FaultMalformed, "", at, "text outside of the root element")
	case t.top == nil:
	case len(t.top.kids) > 0:
		t.top.mixed = t.top.mixed || !blank
	default:
		t.top.text = append(t.top.text, text...)
	}
}

func (t *tree) finish(at int) *node {
	if t.root == nil || t.top != nil {
		t.fail(FaultMalformed, "", at, "the message ends too early")
		return nil
	}
	return t.root
}

// path returns where n stands: "/Document/BkToCstmrStmt/Stmt[2]/Acct". A number
// is given where there are several of the name, from 1.
func (n *node) path() string {
	if n == nil {
		return ""
	}
	name := n.name.Local
	if len(name) > maxID {
		name = name[:maxID]
	}
	if n.parent == nil {
		return "/" + name
	}
	same, index := 0, 0
	for _, k := range n.parent.kids {
		if k.name == n.name {
			same++
		}
		if k == n {
			index = same
		}
	}
	if same > 1 {
		name += "[" + strconv.Itoa(index) + "]"
	}
	return n.parent.path() + "/" + name
}
