// Package control is the local socket on which a running peer is asked, and whoever asks.
//
// The socket speaks HTTP/1.1, and the JSON objects of the command's JSON lines:
//
//	POST /v1/commands   command lines; the events that they cause, until each is settled
//	GET  /v1/events     what happens, from a position of the history on
//	GET  /v1/status     and /v1/peers, /v1/net, /v1/buffer, /v1/history: one answer
//	POST /v1/chat       typed lines; what the chat front end prints, until the lines end
//	POST /v1/terminal   keys; what a terminal is to show
//
// It lies in a directory that only its user can enter, and other users are refused.
package control
