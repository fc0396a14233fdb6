package main

import (
	"errors"
	"os"
	"os/exec"
)

func freeze(*os.Process) error { return errors.ErrUnsupported }
func thaw(*os.Process) error   { return errors.ErrUnsupported }

func ownGroup(*exec.Cmd) {}
