package codespec

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/tlv"
)

// ReportJSON is what a barcode says, as one JSON object. Keys of MPM and CPM
// that the code has no field for are absent.
type ReportJSON struct {
	Format       Format         `json:"format"`
	Valid        bool           `json:"valid"` // the wire level
	Presentation Presentation   `json:"presentation"`
	Schemes      []string       `json:"schemes"` // best first
	Error        *ReportError   `json:"error"`
	Findings     []Finding      `json:"findings"`
	MPM          map[string]any `json:"mpm,omitempty"`
	CPM          map[string]any `json:"cpm,omitempty"`
}

// ReportError is a DecodeError as JSON.
type ReportError struct {
	Reason  string `json:"reason"`
	Path    string `json:"path"`
	Offset  int    `json:"offset"`
	Message string `json:"message"`
}

// Report reads raw by the built-in rules. See Rules.Report.
func Report(raw string, reveal bool) ReportJSON { return DefaultRules().Report(raw, reveal) }

// Report decodes raw and lays it open. Account numbers of consumer codes are
// masked to their last four digits wherever they appear, unless reveal is true.
// A code that is not valid shows what could be read of it.
func (r *Rules) Report(raw string, reveal bool) ReportJSON {
	c, err := r.Decode(raw)
	out := ReportJSON{
		Format: c.Format, Valid: err == nil, Presentation: c.Presentation,
		Schemes: c.Schemes(), Findings: c.Findings,
	}
	var d *DecodeError
	if errors.As(err, &d) {
		out.Error = &ReportError{d.Reason, d.Path, d.Offset, d.Message}
	}
	if c.MPM != nil {
		out.MPM = reportMPM(c.MPM)
		if err != nil {
			out.Findings = c.MPM.Findings()
		}
	}
	if c.CPM != nil {
		out.CPM = reportCPM(c.CPM, reveal)
		if err != nil {
			out.Findings = c.CPM.Findings()
		}
	}
	if out.Findings == nil {
		out.Findings = []Finding{}
	}
	return out
}

var mpmKeys = [...]struct{ id, key string }{
	{"00", "pfi"}, {"01", "poi"}, {"52", "mcc"}, {"53", "currency"}, {"54", "amount"}, {"55", "tip"},
	{"56", "fee_fixed"}, {"57", "fee_pct"}, {"58", "country"}, {"59", "name"}, {"60", "city"},
	{"61", "postal"}, {"63", "crc"},
}

var additionalKeys = map[string]string{
	"01": "bill_number", "02": "mobile_number", "03": "store_label", "04": "loyalty_number",
	"05": "reference_label", "06": "customer_label", "07": "terminal_label", "08": "purpose",
	"09": "consumer_data_request", "10": "merchant_tax_id", "11": "merchant_channel",
}

func reportMPM(m *emv.MPM) map[string]any {
	out := map[string]any{"mai": reportTemplates(m.Accounts)}
	for _, k := range mpmKeys {
		if v, ok := m.Root(k.id); ok {
			out[k.key] = v
		}
	}
	if m.Has("62") {
		sub := map[string]string{}
		for _, o := range m.Additional {
			key := o.ID
			if name, ok := additionalKeys[o.ID]; ok {
				key = name
			}
			sub[key] = o.Value
		}
		out["additional"] = sub
	}
	if m.Has("64") {
		lang := map[string]any{"language": nil, "name": nil, "city": nil}
		for id, key := range map[string]string{"00": "language", "01": "name", "02": "city"} {
			if v, ok := tlv.Find(m.Language, id); ok {
				lang[key] = v
			}
		}
		out["lang"] = lang
	}
	if len(m.Unreserved) > 0 {
		out["unreserved"] = reportTemplates(m.Unreserved)
	}
	return out
}

func reportTemplates(list []emv.Template) []map[string]any {
	out := make([]map[string]any, 0, len(list))
	for i := range list {
		t := &list[i]
		if !t.HasGUID {
			out = append(out, map[string]any{"id": t.ID, "value": t.Value})
			continue
		}
		sub := map[string]string{}
		for _, o := range t.Sub {
			if o.ID != "00" {
				sub[o.ID] = o.Value
			}
		}
		out = append(out, map[string]any{"id": t.ID, "guid": t.GUID, "sub": sub})
	}
	return out
}

func reportCPM(c *emv.CPM, reveal bool) map[string]any {
	m := masker{}
	if !reveal {
		m = newMasker(c)
	}
	out := map[string]any{"format": c.Format, "hex": m.hex(c.Bytes())}
	apps := make([]map[string]any, 0, len(c.Apps))
	for i := range c.Apps {
		apps = append(apps, reportApp(&c.Apps[i], m))
	}
	out["apps"] = apps
	if len(c.Common) > 0 {
		out["common"] = reportTags(c.Common, emv.TagCommonTransparent, c.CommonTransparent, m)
	}
	if pan, ok := c.PAN(); ok {
		out["pan"] = m.digits(pan)
	} else if v, ok := c.Field(emv.TagPAN); ok {
		out["5A_raw"] = m.hex(v)
	}
	if v, ok := c.Last4(); ok {
		out["last4"] = v
	}
	for _, k := range [...]struct {
		tag tlv.Tag
		key string
	}{{emv.TagCardholder, "cardholder"}, {emv.TagLanguage, "language"}, {emv.TagIssuerURL, "issuer_url"}} {
		if v, ok := c.Field(k.tag); ok {
			out[k.key] = m.text(v)
		}
	}
	if v, ok := c.Field(emv.TagAppVersion); ok {
		out["app_version"] = m.hex(v)
	}
	return out
}

func reportApp(a *emv.App, m masker) map[string]any {
	out := map[string]any{"aid": nil, "label": nil, "tags": reportTags(a.Nodes, emv.TagTransparent, a.Transparent, m)}
	if a.AID != nil {
		out["aid"] = hexUpper(a.AID)
	}
	if _, ok := tlv.FindBER(a.Nodes, emv.TagLabel); ok {
		out["label"] = m.text([]byte(a.Label()))
	}
	return out
}

func reportTags(nodes []tlv.Node, template tlv.Tag, inner []tlv.Node, m masker) map[string]any {
	out := map[string]any{}
	for _, n := range nodes {
		if n.Tag == template && inner != nil {
			out[n.Tag.String()] = reportTags(inner, 0, nil, m)
			continue
		}
		out[n.Tag.String()] = m.hex(n.Value)
	}
	return out
}

func hexUpper(v []byte) string { return strings.ToUpper(hex.EncodeToString(v)) }

// masker hides account numbers in everything that is shown of a consumer code.
// The zero masker hides nothing.
type masker struct{ swaps []string } // what to look for, and what to write instead

// newMasker collects every spelling of the account numbers: the value of each
// 5A and 57 in hex, the digits themselves, and the digits as ASCII in hex.
func newMasker(c *emv.CPM) masker {
	var secrets []string
	collect := func(nodes []tlv.Node) {
		for _, n := range nodes {
			switch n.Tag {
			case emv.TagPAN:
				secrets = append(secrets, hexUpper(n.Value), strings.TrimRight(hexUpper(n.Value), "F"))
			case emv.TagTrack2:
				pan, _, _ := strings.Cut(hexUpper(n.Value), "D")
				secrets = append(secrets, hexUpper(n.Value), pan)
			}
		}
	}
	for i := range c.Apps {
		collect(c.Apps[i].Nodes)
	}
	collect(c.Common)
	var m masker
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		m.swaps = append(m.swaps, s, hide(s))
		ascii := hexUpper([]byte(s))
		m.swaps = append(m.swaps, ascii, hide(ascii))
	}
	return m
}

// minSecret is the shortest run of hex digits that counts as an account number.
const minSecret = 8

// hide keeps the last four digits of the account number in s, which for track
// 2 stand before the separator, and stars everything else.
func hide(s string) string {
	pan, _, _ := strings.Cut(strings.TrimRight(s, "F"), "D")
	if len(pan) < 4 {
		return strings.Repeat("*", len(s))
	}
	return strings.Repeat("*", len(pan)-4) + pan[len(pan)-4:] + strings.Repeat("*", len(s)-len(pan))
}

func (m masker) apply(s string) string {
	for i := 0; i+1 < len(m.swaps); i += 2 {
		s = strings.ReplaceAll(s, m.swaps[i], m.swaps[i+1])
	}
	return s
}

func (m masker) hex(v []byte) string      { return m.apply(hexUpper(v)) }
func (m masker) text(v []byte) string     { return m.apply(string(v)) }
func (m masker) digits(pan string) string { return m.apply(pan) }
