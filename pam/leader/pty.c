/* Opening a terminal for a process of the user (RFC 4254 §6.2, §8). Runs in: leader. */
#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { OPCODE_END = 0, OPCODE_FIRST_UNDEFINED = 160, NO_CHARACTER = 255 };
enum { OPCODE_CS7 = 90, OPCODE_CS8 = 91, OPCODE_INPUT_SPEED = 128, OPCODE_OUTPUT_SPEED = 129 };

enum mode_kind { CHARACTER, INPUT, LOCAL, OUTPUT, CONTROL };

/* RFC 4254 §8; IUTF8 is of RFC 8160. What Linux does not know is left out: VDSUSP, VFLUSH, VSTATUS. */
static const struct {
  uint8_t opcode;
  uint8_t kind;
  tcflag_t value;
} modes_known[] = {
    {1, CHARACTER, VINTR},   {2, CHARACTER, VQUIT},     {3, CHARACTER, VERASE},
    {4, CHARACTER, VKILL},   {5, CHARACTER, VEOF},      {6, CHARACTER, VEOL},
    {7, CHARACTER, VEOL2},   {8, CHARACTER, VSTART},    {9, CHARACTER, VSTOP},
    {10, CHARACTER, VSUSP},  {12, CHARACTER, VREPRINT}, {13, CHARACTER, VWERASE},
    {14, CHARACTER, VLNEXT}, {16, CHARACTER, VSWTC},    {18, CHARACTER, VDISCARD},
    {30, INPUT, IGNPAR},     {31, INPUT, PARMRK},       {32, INPUT, INPCK},
    {33, INPUT, ISTRIP},     {34, INPUT, INLCR},        {35, INPUT, IGNCR},
    {36, INPUT, ICRNL},      {37, INPUT, IUCLC},        {38, INPUT, IXON},
    {39, INPUT, IXANY},      {40, INPUT, IXOFF},        {41, INPUT, IMAXBEL},
    {42, INPUT, IUTF8},      {50, LOCAL, ISIG},         {51, LOCAL, ICANON},
    {52, LOCAL, XCASE},      {53, LOCAL, ECHO},         {54, LOCAL, ECHOE},
    {55, LOCAL, ECHOK},      {56, LOCAL, ECHONL},       {57, LOCAL, NOFLSH},
    {58, LOCAL, TOSTOP},     {59, LOCAL, IEXTEN},       {60, LOCAL, ECHOCTL},
    {61, LOCAL, ECHOKE},     {62, LOCAL, PENDIN},       {70, OUTPUT, OPOST},
    {71, OUTPUT, OLCUC},     {72, OUTPUT, ONLCR},       {73, OUTPUT, OCRNL},
    {74, OUTPUT, ONOCR},     {75, OUTPUT, ONLRET},      {92, CONTROL, PARENB},
    {93, CONTROL, PARODD},
};

static const struct {
  uint32_t baud;
  speed_t speed;
} speeds_known[] = {
    {0, B0},           {50, B50},         {75, B75},           {110, B110},
    {134, B134},       {150, B150},       {200, B200},         {300, B300},
    {600, B600},       {1200, B1200},     {1800, B1800},       {2400, B2400},
    {4800, B4800},     {9600, B9600},     {19200, B19200},     {38400, B38400},
    {57600, B57600},   {115200, B115200}, {230400, B230400},   {460800, B460800},
    {921600, B921600}, {1000000, B1000000},
};

static void set_flag(tcflag_t *flags, tcflag_t bit, bool on) {
  *flags = on ? *flags | bit : *flags & ~bit;
}

static void set_speed(struct termios *terminal, uint8_t opcode, uint32_t baud) {
  for (size_t i = 0; i < sizeof speeds_known / sizeof speeds_known[0]; i++) {
    if (speeds_known[i].baud == baud) {
      if (opcode == OPCODE_INPUT_SPEED) {
        cfsetispeed(terminal, speeds_known[i].speed);
      } else {
        cfsetospeed(terminal, speeds_known[i].speed);
      }
      return;
    }
  }
}

static void set_mode(struct termios *terminal, uint8_t opcode, uint32_t value) {
  for (size_t i = 0; i < sizeof modes_known / sizeof modes_known[0]; i++) {
    if (modes_known[i].opcode != opcode) {
      continue;
    }
    tcflag_t bit = modes_known[i].value;
    switch (modes_known[i].kind) {
      case CHARACTER:
        terminal->c_cc[bit] = value == NO_CHARACTER ? _POSIX_VDISABLE : (cc_t)value;
        return;
      case INPUT:
        set_flag(&terminal->c_iflag, bit, value != 0);
        return;
      case LOCAL:
        set_flag(&terminal->c_lflag, bit, value != 0);
        return;
      case OUTPUT:
        set_flag(&terminal->c_oflag, bit, value != 0);
        return;
      default:
        set_flag(&terminal->c_cflag, bit, value != 0);
        return;
    }
  }
}

/* The modes come from the client: what is cut short or undefined ends the list (RFC 4254 §8). */
static void apply_modes(struct termios *terminal, struct bytes modes) {
  size_t at = 0;
  bool is_7_bits = false;
  bool is_8_bits = false;
  bool has_size = false;
  while (at < modes.length) {
    uint8_t opcode = modes.at[at];
    if (opcode == OPCODE_END || opcode >= OPCODE_FIRST_UNDEFINED || modes.length - at < 5) {
      break;
    }
    const uint8_t *from = modes.at + at + 1;
    uint32_t value = (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 |
                     from[3];
    at += 5;
    if (opcode == OPCODE_INPUT_SPEED || opcode == OPCODE_OUTPUT_SPEED) {
      set_speed(terminal, opcode, value);
    } else if (opcode == OPCODE_CS7 || opcode == OPCODE_CS8) {
      has_size = true;
      is_7_bits = opcode == OPCODE_CS7 ? value != 0 : is_7_bits;
      is_8_bits = opcode == OPCODE_CS8 ? value != 0 : is_8_bits;
    } else {
      set_mode(terminal, opcode, value);
    }
  }
  if (has_size && (is_7_bits || is_8_bits)) {
    /* The bits of CS7 are part of those of CS8: clients with eight bits name both. */
    terminal->c_cflag = (terminal->c_cflag & ~(tcflag_t)CSIZE) | (is_8_bits ? CS8 : CS7);
  }
}

static uint16_t at_most_16_bits(uint32_t value) {
  return value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
}

/* user:tty 0620, as login(1) does; write(1) and wall(1) are setgid tty. */
static int give_to(const struct account *account, struct pty *pty) {
  struct stat status;
  struct stat named;
  pty->inode = open(pty->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (pty->inode < 0 || fstat(pty->slave, &status) != 0 || fstat(pty->inode, &named) != 0) {
    return errno;
  }
  if (status.st_dev != named.st_dev || status.st_ino != named.st_ino) {
    return ENXIO; /* another instance of devpts is mounted there */
  }
  pty->old_uid = status.st_uid;
  pty->old_gid = status.st_gid;
  pty->old_mode = status.st_mode & 07777;
  if (geteuid() != 0) {
    return 0;
  }
  char buffer[4096];
  struct group entry;
  struct group *found = NULL;
  bool has_group = getgrnam_r("tty", &entry, buffer, sizeof buffer, &found) == 0 && found != NULL;
  gid_t gid = has_group ? found->gr_gid : account->gid;
  if (fchown(pty->slave, account->uid, gid) != 0 || fchmod(pty->slave, has_group ? 0620 : 0600)) {
    return errno;
  }
  return 0;
}

int pty_open(const struct account *account, const struct pty_size *size, struct bytes modes,
             struct pty *pty) {
  *pty = (struct pty){.master = -1, .slave = -1, .inode = -1};
  struct winsize window = {
      .ws_col = at_most_16_bits(size->columns),
      .ws_row = at_most_16_bits(size->rows),
      .ws_xpixel = at_most_16_bits(size->width_pixels),
      .ws_ypixel = at_most_16_bits(size->height_pixels),
  };
  struct termios terminal;
  int error = 0;
  pty->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (pty->master < 0 || unlockpt(pty->master) != 0 ||
      ptsname_r(pty->master, pty->path, sizeof pty->path) != 0) {
    error = errno;
  }
  if (error == 0) {
    pty->slave = ioctl(pty->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pty->slave < 0 || ioctl(pty->master, TIOCSWINSZ, &window) != 0 ||
        tcgetattr(pty->slave, &terminal) != 0) {
      error = errno;
    }
  }
  if (error == 0) {
    apply_modes(&terminal, modes);
    error = tcsetattr(pty->slave, TCSANOW, &terminal) != 0 ? errno : give_to(account, pty);
  }
  if (error != 0) {
    pty_close(pty);
  }
  return error;
}

void pty_close(struct pty *pty) {
  int *descriptors[] = {&pty->master, &pty->slave, &pty->inode};
  for (size_t i = 0; i < 3; i++) {
    if (*descriptors[i] >= 0) {
      close(*descriptors[i]);
      *descriptors[i] = -1;
    }
  }
}

void pty_release(struct pty *pty) {
  if (pty->inode < 0) {
    return;
  }
  if (geteuid() == 0) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", pty->inode);
    /* Fails when the terminal is gone already: then there is nothing to give back. */
    if (fchownat(pty->inode, "", pty->old_uid, pty->old_gid, AT_EMPTY_PATH) == 0) {
      int changed = chmod(link, pty->old_mode);
      (void)changed;
    }
  }
  pty_close(pty);
}
