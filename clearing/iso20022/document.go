package iso20022

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Definition names a message and its version, as MsgDefIdr does.
type Definition string

// The messages of this package.
const (
	Pacs002 Definition = "pacs.002.001.10" // status of instructions; read and written
	Pacs009 Definition = "pacs.009.001.08" // credit transfer between institutions; read and written
	Pacs010 Definition = "pacs.010.001.03" // direct debit between institutions; read and written
	Pacs029 Definition = "pacs.029.001.02" // multilateral settlement request; read and written
	Camt050 Definition = "camt.050.001.05" // liquidity transfer; read and written
	Camt053 Definition = "camt.053.001.08" // statement; read and written
	Camt054 Definition = "camt.054.001.08" // advice of debits and credits; read and written
	Camt025 Definition = "camt.025.001.05" // receipt of a liquidity transfer; read and written
	Head001 Definition = "head.001.001.02" // business header; read and written

	envelope Definition = "nvlp.001.001.01" // header and document as one; read and written
)

const namespaceStem = "urn:iso:std:iso:20022:tech:xsd:"

// Namespace returns the XML namespace of the message.
func (d Definition) Namespace() string { return namespaceStem + string(d) }

// Document is a message that is ready to be sent. Its bytes are canonical: the
// same content gives the same bytes.
type Document struct {
	Definition Definition
	ID         string // of the message; the key by which the agent knows a repeat
	Created    time.Time
	XML        []byte
}

// Heading is what every message to the settlement agent says besides its legs.
type Heading struct {
	ID         string    // MsgId, and BizMsgIdr of the header: our idempotency key
	Created    time.Time // written in UTC, whole seconds
	Date       Date      // the settlement date; a pacs.029 has none
	System     string    // the agent's name for this clearing system, at most 35 characters
	SystemCode string    // or its code of at most 3 characters, from the external list
	Settlement Party     // who holds the settlement account that debtors pay into, and that account
	Sender     Party     // instructing agent; may be none
	Agent      Party     // instructed agent; may be none
	Parties    map[tongma.ParticipantID]Party
}

// MaxLegs bounds the instructions of one message.
const MaxLegs = 10_000

// SheetKey is the id for all of a net sheet that is in one currency: half of the
// sheet's hash and the currency, exactly 35 characters. It stands in a pacs.029 as
// the instruction's id, so that both ends can compare it with the sheet, and may be
// the id of that message too.
func SheetKey(s clearing.Sheet, c tongma.Currency) string {
	return hex.EncodeToString(s.Hash[:16]) + c.Code()
}

// MessageKey is the id for a message of one definition with these instructions:
// 32 characters, the same however often it is computed. What is sent again goes
// out under the same key; other instructions, or another message about them, do
// not.
func MessageKey(def Definition, instructions []clearing.Instruction) string {
	text := fmt.Appendf(nil, "tongma message 1\n%s\n", def)
	for i := range instructions {
		text = fmt.Appendf(text, "%s\n", instructions[i].ID)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// heading checks what the header of all messages has, and where it stands.
func (c *faults) heading(path, id string, created time.Time) {
	if !validID(id) {
		c.fail(FaultID, path+"/MsgId", 0, "")
	}
	if !DateOf(created.UTC()).Valid() {
		c.fail(FaultDate, path+"/CreDtTm", 0, "")
	}
}

// date checks a date that goes to path.
func (c *faults) date(path string, d Date) string {
	if !d.Valid() {
		c.fail(FaultDate, path, 0, "")
	}
	return d.String()
}

// xmlAmount is ActiveCurrencyAndAmount.
type xmlAmount struct {
	Currency string `xml:"Ccy,attr"`
	Value    string `xml:",chardata"`
}

// maxMinor keeps an amount within the 18 digits that the schemas allow.
const maxMinor = 999_999_999_999_999_999

// amount checks an amount of more than zero.
func (c *faults) amount(path string, m tongma.Money) xmlAmount {
	if m.Minor == 0 {
		c.fail(FaultAmount, path, 0, "must be more than zero")
	}
	return c.amountOrZero(path, m)
}

func (c *faults) amountOrZero(path string, m tongma.Money) xmlAmount {
	switch {
	case !m.Currency.Valid():
		c.fail(FaultCurrency, path+"/@Ccy", 0, "")
	case m.Minor < 0:
		c.fail(FaultAmount, path, 0, "must not be less than zero")
	case m.Minor > maxMinor:
		c.fail(FaultAmount, path, 0, "more than 18 digits")
	}
	return xmlAmount{m.Currency.Code(), m.Decimal()}
}

// add sums up amounts of one currency; a sum past 18 digits is out of range.
func (c *faults) add(path string, sum, m tongma.Money) tongma.Money {
	next, err := sum.Add(m)
	if err != nil || next.Minor > maxMinor || next.Minor < -maxMinor {
		c.fail(FaultAmount, path, 0, "sum has more than 18 digits")
		return sum
	}
	return next
}

// xmlSystem is ClearingSystemIdentification3Choice.
type xmlSystem struct {
	Code        string `xml:"Cd,omitempty"`
	Proprietary string `xml:"Prtry,omitempty"`
}

// xmlSettlement is SettlementInstruction7 or 14.
type xmlSettlement struct {
	Method  string      `xml:"SttlmMtd"`
	Account *xmlAccount `xml:"SttlmAcct"`
	System  *xmlSystem  `xml:"ClrSys"`
}

// settlement says how the agent settles: through the clearing system that is
// named, else in its own books over the settlement account.
func (c *faults) settlement(path string, h *Heading, currency string) *xmlSettlement {
	if h.System == "" && h.SystemCode == "" {
		return &xmlSettlement{Method: "INDA", Account: c.account(path+"/SttlmAcct", h.Settlement.Account, currency)}
	}
	if (h.System != "" && (h.SystemCode != "" || !validText(h.System, 35))) || (h.SystemCode != "" && (!validID(h.SystemCode) || len(h.SystemCode) > 3)) {
		c.fail(FaultText, path+"/ClrSys", 0, "either a name of at most 35 characters or a code of at most 3")
	}
	return &xmlSettlement{Method: "CLRG", System: &xmlSystem{h.SystemCode, h.System}}
}

// participant finds the party of a participant.
func (c *faults) participant(path string, h *Heading, id tongma.ParticipantID) Party {
	p, ok := h.Parties[id]
	if !ok {
		c.fail(FaultParty, path, 0, "the directory has no settlement party for "+strconv.QuoteToASCII(string(id)))
	}
	return p
}

// document writes the canonical form: UTF-8, the message's namespace as the
// default on the root, no prefixes, one element a line, indented by blanks.
func (c *faults) document(def Definition, id string, created time.Time, content any) (Document, error) {
	if c.err != nil {
		return Document{}, c.err
	}
	body, err := encode(def, "Document", content)
	if err != nil {
		return Document{}, &tongma.Error{Op: c.op, Reason: tongma.Internal, Err: err}
	}
	return Document{def, id, created.UTC().Truncate(time.Second), body}, nil
}

func encode(def Definition, root string, content any) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(xml.Header)
	e := xml.NewEncoder(&out)
	e.Indent("", " ")
	if err := e.EncodeElement(content, xml.StartElement{Name: xml.Name{Space: def.Namespace(), Local: root}}); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}

// Header is the business header that goes with a document.
type Header struct {
	From, To          Party
	ID                string // BizMsgIdr: our idempotency key, the same as the document's id
	Definition        Definition
	Created           time.Time
	PossibleDuplicate bool // the document may have been sent before
}

type xmlHeader struct {
	From       xmlInstitution `xml:"Fr>FIId"`
	To         xmlInstitution `xml:"To>FIId"`
	ID         string         `xml:"BizMsgIdr"`
	Definition Definition     `xml:"MsgDefIdr"`
	Created    string         `xml:"CreDt"`
	Duplicate  bool           `xml:"PssblDplct,omitempty"`
}

// Header returns the business header of d, from one party to another.
func (d Document) Header(from, to Party) Header {
	return Header{From: from, To: to, ID: d.ID, Definition: d.Definition, Created: d.Created}
}

// XML returns the header as a message of its own.
func (h Header) XML() ([]byte, error) {
	c := faults{op: "iso20022.Header"}
	x := xmlHeader{c.institution("/AppHdr/Fr/FIId/FinInstnId", h.From), c.institution("/AppHdr/To/FIId/FinInstnId", h.To), h.ID, h.Definition, stamp(h.Created), h.PossibleDuplicate}
	if !validID(h.ID) {
		c.fail(FaultID, "/AppHdr/BizMsgIdr", 0, "")
	}
	if !validID(string(h.Definition)) {
		c.fail(FaultID, "/AppHdr/MsgDefIdr", 0, "")
	}
	if !DateOf(h.Created.UTC()).Valid() {
		c.fail(FaultDate, "/AppHdr/CreDt", 0, "")
	}
	if c.err != nil {
		return nil, c.err
	}
	return encode(Head001, "AppHdr", x)
}

// Envelope returns header and document as one message: a BizMsgEnvlp of
// nvlp.001.001.01 in which the bytes of both stand as they are, less their XML
// declarations.
func (d Document) Envelope(h Header) ([]byte, error) {
	c := faults{op: "iso20022.Envelope"}
	if h.Definition != d.Definition {
		c.fail(FaultDefinition, "/AppHdr/MsgDefIdr", 0, "")
	}
	if h.ID != d.ID {
		c.fail(FaultID, "/AppHdr/BizMsgIdr", 0, "differs from the document's id")
	}
	if c.err != nil {
		return nil, c.err
	}
	head, err := h.XML()
	if err != nil {
		return nil, err
	}
	declaration := []byte(xml.Header)
	return slices.Concat(declaration, []byte(`<BizMsgEnvlp xmlns="`+envelope.Namespace()+"\">\n<Hdr>\n"), bytes.TrimPrefix(head, declaration),
		[]byte("</Hdr>\n<Doc>\n"), bytes.TrimPrefix(d.XML, declaration), []byte("</Doc>\n</BizMsgEnvlp>\n")), nil
}
