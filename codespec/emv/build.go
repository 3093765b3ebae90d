package emv

import (
	"fmt"

	"github.com/tongma/tongma/codespec/tlv"
)

// Draft describes a merchant-presented code to be made. Several accounts stand
// side by side, one per scheme that the merchant accepts.
type Draft struct {
	Dynamic    bool      // one payment (12) or many (11)
	Accounts   []Account // at least one; in the order in which readers should prefer them
	MCC        string    // four digits, "0000" if not set
	Currency   string    // ISO 4217 number
	Amount     string    // decimal, "" lets the payer type it
	Tip        string    // "01" prompt, "02" fixed fee, "03" percentage, "" none
	FeeFixed   string    // with Tip "02"
	FeePercent string    // with Tip "03"
	Country    string    // ISO 3166-1 alpha-2
	Name       string    // at most 25 printable ASCII characters
	City       string    // at most 15
	Postal     string
	Additional []tlv.Object // fields of 62
	Language   *Language
	Unreserved []Account // templates 80-99
}

// Account is one account or template of a Draft. A primitive has an ID and a
// Value; a template has a GUID and Fields, and takes the first free ID if it has
// none.
type Account struct {
	ID     string
	Value  string
	GUID   string
	Fields []tlv.Object
}

// Language is the merchant's name and city in another script (64).
type Language struct {
	Code string // ISO 639-1
	Name string
	City string // "" if not given
}

// Build makes the code and its CRC. It refuses everything that a strict EMVCo
// reader would refuse: the error is a *WireError whose Path names the object.
func (d Draft) Build() (*MPM, error) {
	root, err := d.objects()
	if err != nil {
		return nil, err
	}
	text, err := tlv.Format(root)
	if err != nil {
		return nil, fromTLV(err, "")
	}
	text += "6304"
	m, err := ParseMPM(string(appendCRC([]byte(text), CRC(text))))
	if err != nil {
		return nil, err
	}
	if f := m.Findings(); len(f) > 0 {
		return nil, wire(ReasonNotCompliant, f[0].Path, -1, f[0].Kind+": "+f[0].Message)
	}
	return m, nil
}

func (d Draft) objects() ([]tlv.Object, error) {
	initiation := "11"
	if d.Dynamic {
		initiation = "12"
	}
	root := []tlv.Object{{ID: "00", Value: "01"}, {ID: "01", Value: initiation}}
	root, err := addAccounts(root, d.Accounts, 26, 51)
	if err != nil {
		return nil, err
	}
	for _, f := range [...]tlv.Object{
		{ID: "52", Value: d.MCC}, {ID: "53", Value: d.Currency}, {ID: "54", Value: d.Amount}, {ID: "55", Value: d.Tip},
		{ID: "56", Value: d.FeeFixed}, {ID: "57", Value: d.FeePercent}, {ID: "58", Value: d.Country},
		{ID: "59", Value: d.Name}, {ID: "60", Value: d.City}, {ID: "61", Value: d.Postal},
	} {
		if f.Value != "" {
			root = append(root, f)
		}
	}
	if len(d.Additional) > 0 {
		if root, err = addTemplate(root, "62", d.Additional); err != nil {
			return nil, err
		}
	}
	if l := d.Language; l != nil {
		sub := []tlv.Object{{ID: "00", Value: l.Code}, {ID: "01", Value: l.Name}}
		if l.City != "" {
			sub = append(sub, tlv.Object{ID: "02", Value: l.City})
		}
		if root, err = addTemplate(root, "64", sub); err != nil {
			return nil, err
		}
	}
	return addAccounts(root, d.Unreserved, 80, 99)
}

// addAccounts appends accounts; a template without an ID takes the first one
// from lo to hi that none of the accounts asks for.
func addAccounts(root []tlv.Object, accounts []Account, lo, hi int) ([]tlv.Object, error) {
	taken := map[string]bool{}
	for _, a := range accounts {
		taken[a.ID] = true
	}
	next := lo
	for _, a := range accounts {
		if a.ID == "" {
			for next <= hi && taken[fmt.Sprintf("%02d", next)] {
				next++
			}
			if next > hi {
				return nil, wire(ReasonNotCompliant, "", -1, "no template ID is left")
			}
			a.ID = fmt.Sprintf("%02d", next)
			next++
		}
		if a.GUID == "" {
			root = append(root, tlv.Object{ID: a.ID, Value: a.Value})
			continue
		}
		var err error
		sub := append([]tlv.Object{{ID: "00", Value: a.GUID}}, a.Fields...)
		if root, err = addTemplate(root, a.ID, sub); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func addTemplate(root []tlv.Object, id string, sub []tlv.Object) ([]tlv.Object, error) {
	value, err := tlv.Format(sub)
	if err != nil {
		return nil, fromTLV(err, id)
	}
	return append(root, tlv.Object{ID: id, Value: value}), nil
}

// ConsumerDraft describes a consumer-presented code to be made.
type ConsumerDraft struct {
	Format            string // "" means CPV01
	Apps              []AppDraft
	Common            []tlv.Node // objects of 62, without 64
	CommonTransparent []tlv.Node // objects of 64
}

// AppDraft is one application of a ConsumerDraft.
type AppDraft struct {
	AID         []byte
	Label       string
	Nodes       []tlv.Node // further objects of 61, without 4F, 50 and 63
	Transparent []tlv.Node // objects of 63
}

// Build makes the code. It refuses everything that EMVCo CPM forbids: the error
// is a *WireError.
func (d ConsumerDraft) Build() (*CPM, error) {
	format := d.Format
	if format == "" {
		format = FormatCPV01
	}
	root := []tlv.Node{{Tag: TagFormat, Value: []byte(format)}}
	for _, a := range d.Apps {
		nodes := []tlv.Node{{Tag: TagAID, Value: a.AID}}
		if a.Label != "" {
			nodes = append(nodes, tlv.Node{Tag: TagLabel, Value: []byte(a.Label)})
		}
		nodes = withTemplate(append(nodes, a.Nodes...), TagTransparent, a.Transparent)
		root = append(root, tlv.Node{Tag: TagApplication, Value: tlv.FormatBER(nodes)})
	}
	if len(d.Common)+len(d.CommonTransparent) > 0 {
		nodes := withTemplate(append([]tlv.Node{}, d.Common...), TagCommonTransparent, d.CommonTransparent)
		root = append(root, tlv.Node{Tag: TagCommon, Value: tlv.FormatBER(nodes)})
	}
	c, err := ParseCPM((&CPM{Nodes: root}).Encode())
	if err != nil {
		return nil, err
	}
	if f := c.Findings(); len(f) > 0 {
		return nil, wireCPM(ReasonNotCompliant, f[0].Path, -1, f[0].Kind+": "+f[0].Message)
	}
	return c, nil
}

func withTemplate(nodes []tlv.Node, tag tlv.Tag, inner []tlv.Node) []tlv.Node {
	if len(inner) == 0 {
		return nodes
	}
	return append(nodes, tlv.Node{Tag: tag, Value: tlv.FormatBER(inner)})
}

// CompactDigits writes digits in format cn, two a byte, padded on the right
// with F, as 5A carries them. It returns nil if s is not digits.
func CompactDigits(s string) []byte {
	if s == "" || !allDigits(s) {
		return nil
	}
	b := make([]byte, (len(s)+1)/2)
	for i := range b {
		b[i] = (s[2*i] - '0') << 4
		if 2*i+1 < len(s) {
			b[i] |= s[2*i+1] - '0'
		} else {
			b[i] |= 0x0F
		}
	}
	return b
}
