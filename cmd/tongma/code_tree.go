package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/tlv"
)

// Names of objects, as EMVCo QR MPM 1.1 tables 3.7-3.9 and CPM 1.1 table 4.1 give
// them.
var mpmNames = map[string]string{
	"00": "payload format", "01": "point of initiation", "52": "merchant category", "53": "currency", "54": "amount",
	"55": "tip or fee", "56": "fixed fee", "57": "percentage fee", "58": "country", "59": "merchant name",
	"60": "merchant city", "61": "postal code", "62": "additional data", "63": "checksum", "64": "other language",
}

var additionalNames = map[string]string{
	"01": "bill number", "02": "mobile number", "03": "store", "04": "loyalty number", "05": "reference",
	"06": "customer", "07": "terminal", "08": "purpose", "09": "data request", "10": "tax id", "11": "channel",
}

var languageNames = map[string]string{"00": "language", "01": "name", "02": "city"}

var cpmNames = map[string]string{
	"4F": "application", "50": "label", "5A": "account number", "57": "track 2", "5F20": "cardholder",
	"5F2D": "languages", "5F50": "issuer URL", "9F08": "version", "9F19": "token requestor", "9F24": "account reference",
	"9F25": "last four", "63": "issuer's own", "64": "issuer's own",
}

// drawReport shows a code to people: what it is, its objects, what is wrong with
// it, and which schemes it names and why.
func (a *app) drawReport(w io.Writer, raw string, r *codespec.ReportJSON) {
	p := a.paint(w)
	head := []string{string(r.Format)}
	if r.Presentation != codespec.None {
		head = append(head, "presented by the "+string(r.Presentation))
	}
	verdict := p.green("✓ valid")
	if !r.Valid {
		verdict = p.red("✗ invalid")
	}
	fmt.Fprintln(w, p.bold(strings.Join(head, ", "))+"  "+verdict)
	if e := r.Error; e != nil {
		fmt.Fprintf(w, "  %s: %s%s\n", p.red(e.Reason), place(r.Format, e), clean(e.Message))
	}
	c, _ := codespec.Decode(raw)
	if c.MPM != nil {
		fmt.Fprintln(w)
		drawMPM(w, c.MPM)
	}
	if r.CPM != nil {
		fmt.Fprintln(w)
		drawCPM(w, r.CPM)
	}
	drawMatches(w, p, c.Matches)
	if len(r.Findings) > 0 {
		fmt.Fprintln(w, "\nfindings: wrong, and no reason not to read it")
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "  %s %-6s %s  %s\n", p.yellow("!"), clean(f.Path), f.Kind, p.dim(clean(f.Message)))
	}
}

func place(format codespec.Format, e *codespec.ReportError) string {
	var parts []string
	if e.Path != "" {
		parts = append(parts, clean(e.Path))
	}
	if e.Offset >= 0 {
		unit := "character"
		if format == codespec.FormatCPM || format == codespec.FormatJPQRCPM {
			unit = "byte"
		}
		parts = append(parts, fmt.Sprintf("at %s %d", unit, e.Offset))
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " ") + ": "
}

func drawMatches(w io.Writer, p painter, matches []codespec.Match) {
	if len(matches) == 0 {
		return
	}
	fmt.Fprintln(w, "\nschemes, best first")
	for _, m := range matches {
		why := "rule " + m.Rule
		if m.Path != "" {
			why += ", matched at " + m.Path
		}
		if m.Consult {
			why += "; the rule alone does not decide, the scheme is asked"
		}
		if m.Note != "" {
			why += "; " + m.Note
		}
		fmt.Fprintf(w, "  %-12s %s\n", clean(m.Scheme), p.dim(clean(why)))
	}
}

func drawMPM(w io.Writer, m *emv.MPM) {
	for _, o := range m.Objects {
		sub, names := m.Additional, additionalNames
		switch t, account := m.Account(o.ID); {
		case o.ID == "62":
		case o.ID == "64":
			sub, names = m.Language, languageNames
		case account && t.HasGUID:
			sub, names = t.Sub, map[string]string{"00": "owner"}
		default:
			sub, names = unreserved(m, o.ID), map[string]string{"00": "owner"}
		}
		if len(sub) == 0 {
			drawObject(w, "", o.ID, objectName(o.ID), o.Value, explain(o.ID, o.Value))
			continue
		}
		drawObject(w, "", o.ID, objectName(o.ID), "", "")
		for _, s := range sub {
			drawObject(w, "   ", s.ID, names[s.ID], s.Value, "")
		}
	}
}

// unreserved returns the objects of a template 80-99 that names its owner.
func unreserved(m *emv.MPM, id string) []tlv.Object {
	for i := range m.Unreserved {
		if t := &m.Unreserved[i]; t.ID == id && t.HasGUID {
			return t.Sub
		}
	}
	return nil
}

func objectName(id string) string {
	switch name := mpmNames[id]; {
	case name != "":
		return name
	case id >= "80":
		return "unreserved template"
	case id >= "65":
		return "reserved"
	}
	return "merchant account"
}

func drawObject(w io.Writer, indent, id, name, value, meaning string) {
	line := fmt.Sprintf("  %s%s  %-*s %s", indent, clean(id), 21-len(indent), name, clean(value))
	if meaning != "" {
		line += "  = " + meaning
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// explain says what a value means, where the value alone does not.
func explain(id, value string) string {
	switch id {
	case "01":
		return map[string]string{"11": "for many payments", "12": "for one payment"}[value]
	case "53":
		if c, ok := tongma.CurrencyByNumber(value); ok {
			return c.Code()
		}
	case "55":
		return map[string]string{"01": "the payer is asked for a tip", "02": "fixed fee", "03": "percentage fee"}[value]
	}
	return ""
}

// drawCPM shows the masked objects of the report, never those of the code itself.
func drawCPM(w io.Writer, c map[string]any) {
	text := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
	drawObject(w, "", "85", "payload format", text(c, "format"), "")
	apps, _ := c["apps"].([]map[string]any)
	for _, app := range apps {
		drawObject(w, "", "61", "application", text(app, "label"), "")
		tags, _ := app["tags"].(map[string]any)
		drawTags(w, "   ", tags)
	}
	if tags, ok := c["common"].(map[string]any); ok {
		drawObject(w, "", "62", "common data", "", "")
		drawTags(w, "   ", tags)
	}
}

func drawTags(w io.Writer, indent string, tags map[string]any) {
	for _, tag := range sortedKeys(tags) {
		switch v := tags[tag].(type) {
		case string:
			drawObject(w, indent, tag, cpmNames[tag], v, textOf(tag, v))
		case map[string]any:
			drawObject(w, indent, tag, cpmNames[tag], "", "")
			drawTags(w, indent+"   ", v)
		}
	}
}

// textOf reads the hex of the few tags that hold text.
func textOf(tag, value string) string {
	switch tag {
	case "50", "5F20", "5F2D", "5F50":
		if b, err := hex.DecodeString(value); err == nil {
			return clean(string(b))
		}
	}
	return ""
}
