#include "app/window/backend_menu.h"

#include <QActionGroup>
#include <QFileInfo>
#include <QMessageBox>
#include <QPushButton>
#include <QSettings>
#include <QToolButton>
#include <algorithm>

#include "app/window/session_controller.h"

namespace orrery {
namespace {

constexpr int kButtonCharacters = 34;  // of the toolbar's button; the tooltip has all of them
constexpr const char* kSetting = "backend";

QString to_qstring(std::string_view text) {
  return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

QString title_of(std::string_view name) {
  for (const BackendKind& kind : backend_kinds()) {
    if (kind.name == name) return to_qstring(kind.title);
  }
  return QObject::tr("automatic");
}

// Escaped: a tooltip that looks like markup would be taken for it. As a paragraph it is wrapped.
QString tooltip(const QString& text) { return QStringLiteral("<p>%1</p>").arg(text.toHtmlEscaped()); }

}  // namespace

BackendMenu::BackendMenu(SessionController& controller, QWidget* parent)
    : QMenu(tr("&Backend"), parent), controller_(controller), choices_(new QActionGroup(this)) {
  setObjectName(QStringLiteral("backend_menu"));
  setToolTipsVisible(true);
  add_choice({}, tr("Backend: automatic (CUDA where a device works, else the CPU)"));
  for (const BackendKind& kind : backend_kinds()) {
    add_choice(std::string(kind.name), tr("Backend: %1").arg(to_qstring(kind.title)));
    if (kind.name == "cuda") cuda_ = actions().back();
  }
  addSeparator();
  reload_ = addAction(tr("Load the open model again"), this, [this] { controller_.reload_model(); });
  refresh();
}

std::string BackendMenu::stored_choice() {
  const std::string name = QSettings().value(kSetting).toString().toStdString();
  const bool known = std::ranges::any_of(backend_kinds(), [&](const BackendKind& kind) { return kind.name == name; });
  return known ? name : std::string();
}

void BackendMenu::add_choice(const std::string& name, const QString& text) {
  QAction* action = addAction(text, this, [this, name] { choose(name); });
  action->setData(QString::fromStdString(name));
  action->setCheckable(true);
  choices_->addAction(action);
}

QToolButton* BackendMenu::make_button() {
  button_ = new QToolButton;
  button_->setObjectName(QStringLiteral("backend"));
  button_->setAccessibleName(tr("Backend"));
  button_->setToolButtonStyle(Qt::ToolButtonTextOnly);
  button_->setPopupMode(QToolButton::InstantPopup);
  button_->setFocusPolicy(Qt::TabFocus);
  button_->setMenu(this);
  refresh_button();
  return button_;
}

void BackendMenu::choose(const std::string& name) {
  QSettings().setValue(kSetting, QString::fromStdString(name));
  controller_.set_backend(name);
  const OpenModel* model = controller_.model();
  if (model == nullptr || controller_.loading_model()) return;
  const std::string automatic = controller_.no_cuda() == "" ? "cuda" : "cpu";
  if (model->backend != (name.empty() ? automatic : name)) offer_reload();
}

void BackendMenu::offer_reload() {
  const OpenModel& model = *controller_.model();
  const QString text = tr("%1 computes on: %2. You chose: %3.")
                           .arg(QString::fromStdString(model.file->name()), QString::fromStdString(model.device),
                                title_of(controller_.backend()));
  auto* box =
      new QMessageBox(QMessageBox::Question, tr("Load the model again?"), text, QMessageBox::NoButton, parentWidget());
  box->setObjectName(QStringLiteral("reload_offer"));
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->setTextFormat(Qt::PlainText);
  box->setInformativeText(controller_.running()
                              ? tr("Load it again now? The run in progress ends; what it recorded stays.")
                              : tr("Load it again now? Else the choice holds from the next model on."));
  QPushButton* again = box->addButton(tr("Load again"), QMessageBox::AcceptRole);
  box->setDefaultButton(again);
  box->addButton(tr("Not now"), QMessageBox::RejectRole);
  connect(again, &QPushButton::clicked, this, [this] { controller_.reload_model(); });
  box->open();
}

void BackendMenu::refresh() {
  for (QAction* action : choices_->actions()) {
    action->setChecked(action->data().toString().toStdString() == controller_.backend());
  }
  reload_->setEnabled(controller_.model() != nullptr && !controller_.loading_model());
  refresh_cuda();
  refresh_button();
}

void BackendMenu::refresh_cuda() {
  const std::optional<std::string>& no_cuda = controller_.no_cuda();
  const QString why = !no_cuda           ? tr("Still looking for a CUDA device")
                      : no_cuda->empty() ? QString()
                                         : tr("CUDA cannot be used, as %1").arg(QString::fromStdString(*no_cuda));
  cuda_->setEnabled(why.isEmpty());
  cuda_->setToolTip(why.isEmpty() ? QString() : tooltip(why));
  cuda_->setStatusTip(why);
}

void BackendMenu::refresh_button() {
  if (button_ == nullptr) return;
  const OpenModel* model = controller_.loading_model() ? nullptr : controller_.model();
  const QString chosen = title_of(controller_.backend());
  const QString shown = model ? QString::fromStdString(model->device) : tr("Backend: %1").arg(chosen);
  const int width = kButtonCharacters * button_->fontMetrics().averageCharWidth();
  button_->setText(button_->fontMetrics().elidedText(shown, Qt::ElideRight, width));
  QString explained = model ? tr("%1 computes on: %2.").arg(QString::fromStdString(model->file->name()), shown)
                            : tr("Where models will compute.");
  if (model && !model->remark.empty()) explained += QStringLiteral(" ") + QString::fromStdString(model->remark) + u'.';
  if (model) explained += tr(" Chosen for models that are opened: %1.").arg(chosen);
  button_->setToolTip(tooltip(explained));
}

}  // namespace orrery
