package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/tlv"
)

func newSandboxCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "sandbox", Short: "Codes that make the demo's simulated wallets do as told"}
	return group(cmd, newSandboxCodesCmd(a))
}

// sandboxCode is one code and what it makes happen.
type sandboxCode struct {
	Scheme       string `json:"scheme"`
	Presentation string `json:"presentation"`
	Outcome      string `json:"outcome"`
	Code         string `json:"code"`
}

func newSandboxCodesCmd(a *app) *cobra.Command {
	var count int
	var scheme, outcome string
	cmd := &cobra.Command{
		Use:   "codes",
		Short: "Print codes that force each outcome at each simulated scheme",
		Example: `  tongma sandbox codes
  tongma sandbox codes --scheme wechat --outcome pending-approve
  tongma sandbox codes --json --count 100`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if count < 1 || count > 100_000 {
				return usageError(fmt.Errorf("--count is 1 to 100000"))
			}
			codes, err := sandboxCodes(count)
			if err != nil {
				return err
			}
			if codes, err = chosenCodes(codes, scheme, outcome); err != nil {
				return err
			}
			a.print(codes, func(w io.Writer) {
				rows := make([][]string, len(codes))
				for i, c := range codes {
					rows[i] = []string{c.Scheme, c.Presentation, c.Outcome, c.Code}
				}
				showTable(w, []column{left("scheme"), left("presentation"), left("outcome"), left("code")}, rows)
			})
			return nil
		},
	}
	cmd.Flags().IntVar(&count, "count", 1, "how many of each payer's code; each works once")
	cmd.Flags().StringVar(&scheme, "scheme", "", "of this scheme only")
	cmd.Flags().StringVar(&outcome, "outcome", "", "with this outcome only: approve, decline-51, timeout, ...")
	choices(cmd, "scheme", codeSchemes()...)
	choices(cmd, "outcome", codeOutcomes()...)
	return cmd
}

func codeSchemes() (names []string) {
	for _, s := range payerStyles {
		names = append(names, s.scheme)
	}
	for _, s := range merchantStyles {
		names = append(names, s.scheme)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func codeOutcomes() (names []string) {
	for _, o := range scripted.Outcomes() {
		names = append(names, o.String())
	}
	return names
}

// chosenCodes are those of one scheme and outcome; empty: of all.
func chosenCodes(codes []sandboxCode, scheme, outcome string) ([]sandboxCode, error) {
	if scheme != "" && !slices.Contains(codeSchemes(), scheme) {
		return nil, failf(exitUsage, "the sandbox has no scheme %q", clean(scheme)).then("there are: " + strings.Join(codeSchemes(), ", "))
	}
	if outcome != "" && !slices.Contains(codeOutcomes(), outcome) {
		return nil, failf(exitUsage, "no code makes the outcome %q", clean(outcome)).then("there are: " + strings.Join(codeOutcomes(), ", "))
	}
	return slices.DeleteFunc(codes, func(c sandboxCode) bool {
		return (scheme != "" && c.Scheme != scheme) || (outcome != "" && c.Outcome != outcome)
	}), nil
}

// payerStyles are the codes of payers that the sandbox's wallets obey.
var payerStyles = []struct {
	scheme string
	style  scripted.Style
	issuer string
}{
	{"wechat", scripted.WeChat, ""}, {"alipay", scripted.Alipay, ""}, {"unionpay", scripted.UnionPay, ""}, {"tongbao", scripted.Unified, "1001"},
	{"unionpay", scripted.CPM, ""}, {"alipayhk", scripted.AlipayHK, ""}, {"harbour", scripted.Unified, "2002"},
}

// merchantStyles are the codes of merchants that the sandbox's networks obey: the
// merchant's number tells what becomes of the credit.
var merchantStyles = []struct {
	scheme string
	code   func(merchant string) string
}{
	{"north", func(id string) string { return merchantCode("2001", id, "", tongma.CNY) }},
	{"harbour", func(id string) string { return merchantCode("2002", id, "", tongma.CNY) }},
	{"tongbao", func(id string) string { return merchantCode("1001", id, "", tongma.CNY) }},
	{"khqr", func(id string) string {
		return shopCode(emv.Account{ID: "29", GUID: id + "@nbc"}, "", "KH", "PHNOM PENH", tongma.USD)
	}},
	{"promptpay", func(id string) string {
		fields := []tlv.Object{{ID: "01", Value: "099400016550100"}, {ID: "02", Value: id}}
		return shopCode(emv.Account{ID: "30", GUID: "A000000677010112", Fields: fields}, "", "TH", "BANGKOK", tongma.THB)
	}},
}

// sandboxCodes makes count payers' codes for every outcome at every scheme, and
// one merchant's code for each outcome. Payers' codes begin at a place drawn by
// chance, so that those of two calls differ.
func sandboxCodes(count int) ([]sandboxCode, error) {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	first := binary.BigEndian.Uint64(seed[:]) % 9_000_000_000
	var out []sandboxCode
	for _, s := range payerStyles {
		for _, o := range scripted.Outcomes() {
			for i := range count {
				code, err := scripted.Code(s.style, s.issuer, o, first+uint64(i))
				if err != nil {
					return nil, err
				}
				out = append(out, sandboxCode{s.scheme, "consumer", o.String(), code})
			}
		}
	}
	for _, m := range merchantStyles {
		for _, o := range scripted.Outcomes() {
			out = append(out, sandboxCode{m.scheme, "merchant", o.String(), m.code(strings.ReplaceAll(scripted.Merchant(o, ""), "-", ""))})
		}
	}
	return out, nil
}
